import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.experiments import curves
from analysis.statistics.intervals import band
from qd.seeding import generator


def course(seed: int, rounds: int = 6, pace: float = 1.0) -> pd.DataFrame:
    rng = generator(seed, 0, "course")
    frame = pd.DataFrame({"round": np.arange(1, rounds + 1)})
    for metric in curves.METRICS:
        frame[metric] = rng.normal(size=rounds).cumsum()
    return frame.assign(flops=pace * 1e9 * frame["round"])


def test_a_line_is_the_mean_over_seeds_and_the_band_its_interval(axes: Axes) -> None:
    courses = {"one": [course(seed) for seed in range(3)], "other": [course(seed + 10) for seed in range(3)]}
    curves.panel(courses, axes, "qd_score", curves.ROUND)
    values = np.stack([frame["qd_score"] for frame in courses["other"]])
    assert [line.get_label() for line in axes.lines] == ["one (3)", "other (3)"]
    np.testing.assert_allclose(axes.lines[1].get_ydata(), values.mean(axis=0))
    low, high = band(values, generator(0, 0, "band of qd_score of other along round"))
    (corners,) = axes.collections[1].get_paths()[0].to_polygons()
    assert corners[:, 1].min() == pytest.approx(low.min())
    assert corners[:, 1].max() == pytest.approx(high.max())


def test_one_seed_has_a_line_and_no_band_and_an_arm_without_runs_neither(axes: Axes) -> None:
    curves.panel({"none": [], "one": [course(0)]}, axes, "coverage", curves.ROUND)
    assert ([line.get_label() for line in axes.lines], len(axes.collections)) == (["one (1)"], 0)


def test_over_flops_values_are_taken_where_all_seeds_have_counted(axes: Axes) -> None:
    frames = [course(0), course(1, pace=2.0)]
    points, values = curves.gathered(frames, "qd_score", curves.FLOPS)
    assert (points[0], points[-1]) == (2e9, 6e9)
    np.testing.assert_allclose(values[0], np.interp(points, frames[0]["flops"], frames[0]["qd_score"]))


def test_seeds_that_are_not_as_far_are_drawn_as_far_as_all_are() -> None:
    points, values = curves.gathered([course(0, 6), course(1, 4)], "coverage", curves.ROUND)
    assert (list(points), values.shape) == ([1, 2, 3, 4], (2, 4))


def test_rounds_without_elites_are_gaps(axes: Axes) -> None:
    frames = [course(seed) for seed in range(2)]
    frames[0].loc[0, "best_objective"] = np.nan
    curves.panel({"one": frames}, axes, "best_objective", curves.ROUND)
    drawn = np.asarray(axes.lines[0].get_ydata(), dtype=float)
    assert np.isnan(drawn[0])
    assert np.isfinite(drawn[1:]).all()


@pytest.mark.parametrize(("counted", "columns"), [(True, 2), (False, 1)])
def test_flops_have_a_column_where_they_are_counted(figure: Figure, counted: bool, columns: int) -> None:
    frames = [course(seed) if counted else course(seed).drop(columns="flops") for seed in range(2)]
    curves.curves({"one": frames}, figure, "accuracy")
    assert len(figure.axes) == columns * len(curves.METRICS)
    assert [axes.get_xlabel() for axes in figure.axes[-columns:]] == ["round", "counted FLOPs, all kinds"][
        :columns
    ]
