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
            (0, 2, "birth", True, None),
            (0, 2, "birth", True, None),
            (0, 2, "death", True, "fitness"),
            (0, 2, "death", True, "budget"),
            (0, 2, "death", False, "fitness"),
            (1, 2, "death", True, "budget"),
        ],
        columns=["organism", "round", "kind", "happens", "reason"],
    )
    lifecycle.pool(rounds, census, decisions, 0, axes)
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bars in axes.containers for bar in bars]
    assert bars == [(2.0, 2), (2.0, -2), (2.0, -1)]  # of the two dead one is of the budget
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [4, 5])
    assert axes.yaxis.get_major_formatter()(-2, 0) == "2"


def test_a_round_in_quarantine_is_a_gap_with_a_cross_and_without_bars(axes: Axes) -> None:
    rounds = pd.DataFrame({"round": [1, 2, 3], "phase": ["full"] * 3})
    census = pd.DataFrame({"organism": [0] * 3, "round": [1, 2, 3], "alive": [4, 0, 5]})
    census["quarantine"] = [None, "training loss became nan", None]
    decisions = pd.DataFrame(
        [(0, 2, "birth", True), (0, 2, "death", True), (0, 3, "birth", True)],
        columns=["organism", "round", "kind", "happens"],
    ).assign(reason=None)
    lifecycle.pool(rounds, census, decisions, 0, axes)
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bars in axes.containers for bar in bars]
    assert bars == [(3.0, 1)]
    alive, crosses = axes.lines[:2]
    np.testing.assert_array_equal(alive.get_ydata(), [4, np.nan, 5])
    assert (list(crosses.get_xdata()), list(crosses.get_ydata())) == ([2], [0])
    assert crosses.get_marker() == "x"


DIED = pd.DataFrame(
    [
        (1, 3, 2, "1.0.2", True, "budget", 0.7),
        (0, 3, 4, "0.2.4", True, "fitness", -1.234),
        (0, 3, 5, "0.2.5", False, "fitness", -0.5),
        (0, 2, 1, "0.0.1", True, "fitness", -2.0),
    ],
    columns=["organism", "round", "slot", "component", "happens", "reason", "z"],
).assign(kind="death")


def test_the_dead_are_named_with_their_reason_unless_a_quarantine_undid_it() -> None:
    census = pd.DataFrame({"organism": [0, 0, 1], "round": [2, 3, 3], "quarantine": None})
    lines = [line.replace("\N{NO-BREAK SPACE}", " ") for line in lifecycle.roll(lifecycle.dead(census, DIED))]
    head = " ".join(lines[:-2])
    assert head.startswith("3 died and are named organism.born.slot. 2 of their fitness: z is ")
    assert " 1 of the budget: " in head
    assert lines[-2:] == ["round 2:  0.0.1 (z -2.00)", "round 3:  0.2.4 (z -1.23), 1.0.2 (budget)"]
    census["quarantine"] = ["loss became nan", None, None]
    assert lifecycle.dead(census, DIED)["component"].tolist() == ["0.2.4", "1.0.2"]
    assert lifecycle.roll(lifecycle.dead(census, DIED[:0])) == ["Nobody has died."]


def test_those_who_gave_way_for_a_newborn_are_told_apart() -> None:
    census = pd.DataFrame({"organism": [0, 0, 1], "round": [2, 3, 3], "quarantine": None})
    died = DIED.assign(reason=DIED["reason"].replace("budget", "room"))
    lines = lifecycle.roll(lifecycle.dead(census, died))
    head = " ".join(lines[:-2])
    assert " 2 of their fitness: " in head
    assert head.endswith(" 1 for room: the pool was full, and a newborn was worth more in the trial.")
    assert lines[-1].endswith("1.0.2\N{NO-BREAK SPACE}(room)")


def test_the_last_of_very_many_dead_are_named() -> None:
    many = pd.DataFrame({"round": np.arange(5000), "reason": "fitness", "z": -1.0, "component": "0.0.0"})
    lines = lifecycle.roll(many)
    assert len(lines) < 40
    assert lines[-1].startswith("round 4999: ")
    assert "... earlier ones are in run.decisions()" in lines


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
    assert lifecycle.key(quarantined=False, budget=True)[-1].get_label() == "deaths of the budget"
    assert [handle.get_label() for handle in lifecycle.key(quarantined=False)] == names
    assert [handle.get_label() for handle in lifecycle.key(quarantined=True)] == [*names, "quarantine"]
