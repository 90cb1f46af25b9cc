import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import lifecycle
from archive_store.reading import Run


def test_spans_are_stretches_of_one_phase() -> None:
    rounds = pd.DataFrame(
        {"round": [3, 1, 2, 4, 5], "phase": ["gentle", "warm-up", "warm-up", "full", "gentle"]}
    )
    expected = [("warm-up", 1, 2), ("gentle", 3, 3), ("full", 4, 4), ("gentle", 5, 5)]
    assert lifecycle.spans(rounds) == expected


def test_a_phase_is_named_once(axes: Axes) -> None:
    rounds = pd.DataFrame(
        {"round": [1, 2, 3], "phase": ["gentle", "odd", "gentle"], "temperature": [0.3, 0.2, 0.1]}
    )
    lifecycle.temperature(rounds, axes)
    _, labels = axes.get_legend_handles_labels()
    assert sorted(labels) == ["phase: gentle", "phase: odd", "temperature"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0.3, 0.2, 0.1])


@pytest.mark.parametrize("kind", ["birth", "death"])
def test_counts_over_organisms_are_those_of_the_summaries(kind: str, run: Run) -> None:
    rounds, decisions = run.rounds().set_index("round"), run.decisions()
    counts = sum(
        lifecycle.happened(decisions, organism, kind).reindex(rounds.index, fill_value=0)
        for organism in decisions["organism"].unique()
    )
    np.testing.assert_array_equal(counts, rounds[f"{kind}s"])
    assert counts.sum() > 0


def test_pool_shows_births_up_and_deaths_down(axes: Axes) -> None:
    rounds = pd.DataFrame({"round": [1, 2], "phase": ["full", "full"]})
    census = pd.DataFrame({"organism": [0, 1, 0, 1], "round": [1, 1, 2, 2], "alive": [4, 9, 5, 9]})
    census["quarantine"] = None
    decisions = pd.DataFrame(
        [
            (0, 2, "birth", True),
            (0, 2, "birth", True),
            (0, 2, "death", True),
            (0, 2, "death", False),
            (1, 2, "death", True),
        ],
        columns=["organism", "round", "kind", "happens"],
    )
    lifecycle.pool(rounds, census, decisions, 0, axes)
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bars in axes.containers for bar in bars]
    assert bars == [(2.0, 2), (2.0, -1)]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [4, 5])
    assert axes.yaxis.get_major_formatter()(-2, 0) == "2"


def test_a_round_in_quarantine_is_a_gap_with_a_cross_and_without_bars(axes: Axes) -> None:
    rounds = pd.DataFrame({"round": [1, 2, 3], "phase": ["full"] * 3})
    census = pd.DataFrame({"organism": [0] * 3, "round": [1, 2, 3], "alive": [4, 0, 5]})
    census["quarantine"] = [None, "training loss became nan", None]
    decisions = pd.DataFrame(
        [(0, 2, "birth", True), (0, 2, "death", True), (0, 3, "birth", True)],
        columns=["organism", "round", "kind", "happens"],
    )
    lifecycle.pool(rounds, census, decisions, 0, axes)
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bars in axes.containers for bar in bars]
    assert bars == [(3.0, 1)]
    alive, crosses = axes.lines[:2]
    np.testing.assert_array_equal(alive.get_ydata(), [4, np.nan, 5])
    assert (list(crosses.get_xdata()), list(crosses.get_ydata())) == ([2], [0])
    assert crosses.get_marker() == "x"


def test_organisms_share_their_scale(run: Run, figure: Figure) -> None:
    grid = figure.subplots(4, 1)
    lifecycle.lifecycle(run.rounds(), run.census(), run.decisions(), list(grid))
    figure.draw_without_rendering()
    assert len({panel.get_ylim() for panel in grid[1:]}) == 1
    assert [panel.texts[0].get_text() for panel in grid[1:]] == [f"organism {i}" for i in range(3)]
    assert [panel.get_xlabel() for panel in grid] == ["", "", "", "round"]


def test_axes_must_be_one_more_than_organisms(run: Run, axes: Axes) -> None:
    with pytest.raises(ValueError, match="one more than the 3 organisms, for the temperature; got 1"):
        lifecycle.lifecycle(run.rounds(), run.census(), run.decisions(), [axes])


def test_legend_tells_births_from_deaths_and_names_crosses_where_there_are_any() -> None:
    names = ["living components", "births", "deaths"]
    assert [handle.get_label() for handle in lifecycle.key(quarantined=False)] == names
    assert [handle.get_label() for handle in lifecycle.key(quarantined=True)] == [*names, "quarantine"]
