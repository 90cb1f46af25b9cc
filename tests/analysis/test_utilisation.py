import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style, utilisation
from archive_store.reading import Run
from tests.analysis.lightness import contrast
from tests.fixtures.synthetic_run import CHOICES


def records(*rows: tuple[int, int, int, int, float]) -> pd.DataFrame:
    """Records of organism 0 from (round, slot, layer, round of birth, load)."""
    found = pd.DataFrame(rows, columns=["round", "slot", "depth", "born", "load"])
    names = [f"0.{born}.{slot}" for born, slot in zip(found["born"], found["slot"], strict=True)]
    return found.assign(organism=0, component=names)


# Slot 1 dies after round 1 and is born again before round 4; round 3 is in quarantine; slot 2 is another layer's.
LIVES = records(
    (1, 0, 0, 0, 1.2), (1, 1, 0, 0, 0.8), (1, 2, 1, 0, 2.0),
    (2, 0, 0, 0, 2.0), (2, 2, 1, 0, 2.0),
    (4, 0, 0, 0, 1.9), (4, 1, 0, 4, 0.1), (4, 2, 1, 0, 2.0),
)  # fmt: skip


def test_the_synthetic_run_counts_as_a_router_does(run: Run) -> None:
    found = run.records()
    names = ["load", *(name for name in found.columns if name.startswith("usage_"))]
    assert len(names) == 4
    totals = found.groupby(["organism", "round"])[names].sum()
    np.testing.assert_allclose(totals, CHOICES)


def test_records_of_one_organism_are_in_order_and_all_have_a_load(run: Run) -> None:
    found = run.records()
    shuffled = found.sample(frac=1.0, random_state=0)
    shuffled.loc[shuffled["round"] == 3, "load"] = np.nan
    own = utilisation.of_organism(shuffled, 1)
    expected = found[(found["organism"] == 1) & (found["round"] != 3)]
    assert own["component"].tolist() == expected.sort_values(["round", "slot"])["component"].tolist()
    assert own["round"].is_monotonic_increasing


def test_an_even_share_is_the_mean_of_the_layer_in_the_round() -> None:
    shares = utilisation.relative(LIVES)
    assert shares.index.tolist() == [1, 2, 3, 4]
    nan = np.nan
    np.testing.assert_allclose(shares["0.0.0"], [1.2, 1.0, nan, 1.9])
    np.testing.assert_allclose(shares["0.0.1"], [0.8, nan, nan, nan])
    np.testing.assert_allclose(shares["0.4.1"], [nan, nan, nan, 0.1])
    np.testing.assert_allclose(shares["0.0.2"], [1.0, 1.0, nan, 1.0])


def test_without_records_there_is_nothing_to_tell_and_nothing_fails() -> None:
    nobody = LIVES[:0]
    for frame in (utilisation.relative(nobody), utilisation.lives(nobody), utilisation.by_kind(nobody)):
        assert len(frame) == 0


def test_lives_are_from_birth_to_death_and_quarantine_ends_none() -> None:
    found = utilisation.lives(LIVES)
    assert found.loc["0.0.0"].tolist() == [0, 0, 1, 4, False, False]
    assert found.loc["0.0.1"].tolist() == [1, 0, 1, 1, False, True]
    assert found.loc["0.4.1"].tolist() == [1, 4, 4, 4, True, False]


def test_births_and_deaths_are_those_of_the_journal(run: Run) -> None:
    found, decisions = run.records(), run.decisions()
    for organism in range(3):
        own = utilisation.of_organism(found, organism)
        lives = utilisation.lives(own)
        came = decisions[(decisions["organism"] == organism) & decisions["happens"].astype(bool)]
        born, dead = (came[came["kind"] == kind] for kind in ("birth", "death"))
        assert sorted(lives.index[lives["newborn"]]) == sorted(born["component"])
        assert lives.loc[lives["newborn"], "first"].sum() == born["round"].sum()
        assert sorted(lives.index[lives["died"]]) == sorted(dead["component"])
        assert (lives.loc[lives["died"], "last"] + 1).sum() == dead["round"].sum()
        assert len(dead) > 0


def test_the_balance_has_a_line_for_everyone_the_most_the_least_and_the_mean(axes: Axes) -> None:
    utilisation.balance(LIVES, axes)
    *components, most, least, mean, starved = axes.lines
    assert len(components) == 4
    nan = np.nan
    np.testing.assert_allclose(np.asarray(most.get_ydata(), dtype=float), [1.2, 1.0, nan, 1.9])
    np.testing.assert_allclose(np.asarray(least.get_ydata(), dtype=float), [0.8, 1.0, nan, 0.1])
    assert [line.get_ydata()[0] for line in (mean, starved)] == [1.0, 0.25]
    assert [text.get_text() for text in axes.texts] == ["mean", "a quarter"]
    assert axes.get_ylim()[0] == 0.0


def test_a_strip_is_a_slot_with_a_triangle_at_births_and_a_cross_at_deaths(figure: Figure) -> None:
    axes, scale = figure.subplots(2)
    utilisation.strips(LIVES, axes, scale)
    (image,) = axes.images
    nan = np.nan
    expected = [[1.2, 1.0, nan, 1.9], [0.8, nan, nan, 0.1], [1.0, 1.0, nan, 1.0]]
    np.testing.assert_allclose(np.ma.filled(image.get_array(), nan), expected)
    assert image.get_extent() == [0.5, 4.5, 2.5, -0.5]
    assert (image.norm.vmin, image.norm.vmax) == pytest.approx((0.1, 1.9))
    births, deaths = (line for line in axes.lines if line.get_marker() in "^X")
    assert (list(births.get_xdata()), list(births.get_ydata())) == ([3.8], [1])
    assert (list(deaths.get_xdata()), list(deaths.get_ydata())) == ([1.2], [1])
    assert axes.get_ylabel() == "slot (a black line parts layers)"
    partings = [line for line in axes.lines if line.get_color() == style.INK and line.get_marker() == "None"]
    assert [line.get_ydata()[0] for line in partings] == [1.5]


def test_the_scale_of_the_strips_reaches_from_the_even_share_as_far_as_the_loads(figure: Figure) -> None:
    axes, scale = figure.subplots(2)
    utilisation.strips(records(*((1, slot, 0, 0, 1.0) for slot in range(3))), axes, scale)
    assert axes.images[0].norm(1.0) == pytest.approx(0.5)  # all are even
    grid, bar = figure.subplots(2)
    utilisation.strips(records((1, 0, 0, 0, 0.65), (1, 1, 0, 0, 1.0), (1, 2, 0, 0, 1.35)), grid, bar)
    norm = grid.images[0].norm
    assert (norm.vmin, norm.vmax) == pytest.approx((0.65, 1.35))


def test_the_matrix_gives_the_last_round_in_percent_by_kind(figure: Figure) -> None:
    axes, scale = figure.subplots(2)
    usage = pd.DataFrame(
        {"usage_sine": [0.0] * 5 + [1.0, 0.004, 1.0], "usage_circle": [0.0] * 5 + [0.8, 0.2, 1.0]}
    )
    utilisation.matrix(pd.concat([LIVES, usage], axis=1), axes, scale)
    np.testing.assert_allclose(axes.images[0].get_array(), [[190, 100, 80], [10, 0.4, 20], [200, 100, 100]])
    assert (axes.images[0].norm.vmin, axes.images[0].norm.vmax) == pytest.approx((0.4, 200))
    texts = np.array([text.get_text() for text in axes.texts]).reshape(3, 3)
    assert texts.tolist() == [["190", "100", "80"], ["10", "0", "20"], ["200", "100", "100"]]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["all", "sine", "circle"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0.0.0", "0.4.1", "0.0.2"]
    assert axes.get_title("left") == "kinds of examples, round 4"


def test_a_slot_that_is_empty_at_last_has_a_row_without_numbers(figure: Figure) -> None:
    axes, scale = figure.subplots(2)
    utilisation.matrix(LIVES[LIVES["round"] < 3], axes, scale)
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [
        ((0, 0), "200"),
        ((0, 2), "200"),
    ]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0.0.0", "", "0.0.2"]
    assert axes.get_title("left") == "round 2"


def test_numbers_stand_out_from_their_colours(figure: Figure) -> None:
    axes, scale = figure.subplots(2)
    rows = [(1, slot, 0, 0, load) for slot, load in enumerate(np.linspace(0, 1, 41))]
    utilisation.matrix(records(*rows), axes, scale)
    for text, load in zip(axes.texts, np.linspace(0, 1, 41), strict=True):
        assert contrast(text.get_color(), style.SHARE_MAP(float(load))) > 3.0


def test_where_nobody_is_born_or_dies_there_is_no_mark_and_the_layout_is_at_rest(figure: Figure) -> None:
    axes, scale = figure.subplots(2)
    utilisation.strips(LIVES[LIVES["round"] == 1], axes, scale)
    assert list(axes.get_xticks()) == [1]
    assert {line.get_marker() for line in axes.lines} == {"None"}
    places = []
    for _ in range(2):
        figure.draw_without_rendering()
        places.append(axes.get_position().bounds)
    assert places[0] == pytest.approx(places[1], abs=1e-3)
