import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from analysis import style
from qd.measures import DESCRIPTIONS, MEASURES, MOST_MEASURES, Ranges
from tests.analysis.lightness import luminance


@pytest.mark.parametrize("colours", [style.OBJECTIVE_MAP, style.SHARE_MAP])
def test_objectives_and_shares_can_be_read_by_lightness_alone(colours: Colormap) -> None:
    light = luminance(colours(np.arange(0, 256, 2))[:, :3])
    assert (np.diff(light) > 0).all()
    assert light[-1] < 0.75  # still seen on white


@given(st.floats(-1e4, 1e4), st.floats(1e-6, 1e4))
def test_ticks_are_right_to_a_hundredth_of_the_interval(low: float, width: float) -> None:
    ticks = style.raw_ticks(low, low + width)
    values = np.array([float(tick) for tick in ticks])
    exact = low + np.array([0.0, 0.5, 1.0]) * (low + width - low)
    assert (np.abs(values - exact) <= 0.0101 * width).all()
    assert len({len(tick.partition("e")[0].partition(".")[2]) for tick in ticks}) == 1


def test_ticks_are_short_and_have_no_negative_zero() -> None:
    assert style.raw_ticks(-1.5, 1.0) == ["-1.50", "-0.25", "1.00"]
    assert style.raw_ticks(-0.001, 2.001) == ["0", "1", "2"]
    assert style.raw_ticks(1e-9, 3e-9) == ["1.0e-09", "2.0e-09", "3.0e-09"]


def test_there_is_a_colour_and_a_marker_for_as_many_measures_as_there_can_be():
    assert len(set(style.MEASURE_COLOURS)) == len(set(style.MEASURE_MARKERS)) == MOST_MEASURES


@pytest.mark.parametrize("name", MEASURES)
def test_labels_carry_name_and_unit(name: str) -> None:
    assert style.label(name, width=200) == f"{name.replace('_', ' ')}\n[{DESCRIPTIONS[name].unit}]"
    assert max(map(len, style.label(name).splitlines())) <= 24


def test_a_measure_without_a_known_unit_has_its_name_only() -> None:
    assert style.label("written_norm") == "written norm"
    assert style.label("norm_of_all_that_a_head_writes") == "norm of all that a head\nwrites"
    assert max(map(len, style.label("N" * 60).splitlines())) == 24


def test_names_that_anybody_can_have_chosen_are_drawn_in_one_short_line_of_known_characters() -> None:
    assert style.drawable("x^{$ \x1b[31m\n\u202e") == "x^{$ \\x1b[31m \\u202e"
    assert style.drawable("\U0001f600\U00020000 caf\xe9") == "\U0001f600\N{REPLACEMENT CHARACTER} caf\xe9"
    assert style.drawable("a" * 10**6) == "a" * 57 + "..."
    assert style.plain("a_" * 10**6, 10**6) == "a " * 28 + "a..."


def test_measure_axis_is_ticked_in_the_unit_cube_or_in_units(axes: Axes) -> None:
    style.measure_axis(axes.xaxis, 2, None)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.0", "0.5", "1.0"]
    style.measure_axis(axes.yaxis, 2, Ranges((0, 0, -2, 0, 0), (1, 1, 2, 1, 1)))
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["-2", "0", "2"]


@pytest.mark.parametrize("values", [[], [0.3], [0.3, 0.3], [np.nan]])
def test_colours_span_something_even_for_one_objective(values: list[float]) -> None:
    norm = style.objective_norm(pd.Series(values, dtype=float))
    assert norm.vmin < norm.vmax


@pytest.mark.parametrize(("rounds", "ticks"), [([4], [4]), ([0, 1, 2], [0, 1, 2]), ([], [0, 1])])
def test_rounds_are_whole(rounds: list[int], ticks: list[int], axes: Axes) -> None:
    style.round_axis(axes, pd.Series(rounds, dtype="int64"))
    assert list(axes.get_xticks()) == ticks


def test_long_runs_have_few_whole_ticks(axes: Axes) -> None:
    style.round_axis(axes, pd.Series(range(1, 1001)))
    ticks = axes.get_xticks()
    assert len(ticks) <= 12
    assert (ticks == np.round(ticks)).all()
