"""How the arms of an experiment go on: the mean over seeds with its interval, over rounds and over counted FLOPs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style
from analysis.statistics.intervals import band
from qd.seeding import generator

Courses = Mapping[str, Sequence[pd.DataFrame]]  # of each arm, a frame a seed: a row a round
ROUND, FLOPS = "round", "flops"
METRICS = ("validation_loss", "best_validation_score", "best_objective", "coverage", "qd_score")
_COLOURS = (
    style.BLUE,
    style.ORANGE,
    style.GREEN,
    style.VERMILLION,
    style.PURPLE,
    style.SKY,
    style.INK,
    style.GREY,
)
_LINES = ("-", "--", ":", "-.")
_POINTS = 100  # of a curve over FLOPs, which no two seeds count at the same rounds


def curves(courses: Courses, figure: Figure, score: str) -> Figure:
    """Fill a figure with a row of panels for each metric: over rounds and, where FLOPs are counted, over these.

    Parameters
    ----------
    courses
        Of each arm.
    figure
        An empty one.
    score
        Name of the task's score.
    """
    frames = [frame for runs in courses.values() for frame in runs]
    counted = bool(frames) and all(FLOPS in frame for frame in frames)
    axes_of = [ROUND, FLOPS] if counted else [ROUND]
    labels = {
        "validation_loss": "validation loss\n[mean of organisms]",
        "best_validation_score": f"validation {style.plain(score)}\n[best organism]",
        "best_objective": "best objective\n[0 to 1]",
        "coverage": "coverage\n[share of cells]",
        "qd_score": "QD score\n[sum of objectives]",
    }
    figure.set_size_inches(style.WIDTH, 0.9 + 1.75 * len(METRICS))
    grid = figure.subplots(len(METRICS), len(axes_of), squeeze=False, sharex="col", sharey="row")
    for row, metric in zip(grid, METRICS, strict=True):
        for axes, along in zip(row, axes_of, strict=True):
            panel(courses, axes, metric, along)
        row[0].set_ylabel(labels[metric])
    for axes, along in zip(grid[-1], axes_of, strict=True):
        axes.set_xlabel({ROUND: "round", FLOPS: "counted FLOPs, all kinds"}[along])
    legend(figure, grid[0, 0])
    figure.align_ylabels(grid[:, 0])
    return figure


def panel(courses: Courses, axes: Axes, metric: str, along: str) -> Axes:
    """Draw a line for each arm, with a band where it has two seeds or more.

    Parameters
    ----------
    courses
        Of each arm.
    axes
        Where to draw.
    metric
        Column that is drawn.
    along
        Column of the horizontal axis: ``round`` or ``flops``.
    """
    seen: list[np.ndarray] = []
    for place, (arm, frames) in enumerate(courses.items()):
        if not frames:
            continue
        points, values = gathered(frames, metric, along)
        looks = look(place)
        seen.append(values)
        label = f"{style.drawable(arm)} ({len(frames)})"
        axes.plot(points, values.mean(axis=0), label=label, **looks)
        known = np.isfinite(values).all(axis=0)
        if len(frames) > 1 and known.any():
            low, high = band(values[:, known], generator(0, 0, f"band of {metric} of {arm} along {along}"))
            axes.fill_between(points[known], low, high, color=looks["color"], alpha=0.15, linewidth=0)
    _look_at(axes, seen)
    if along == ROUND and any(courses.values()):
        style.round_axis(
            axes, pd.concat([frame[ROUND] for frames in courses.values() for frame in frames]), ""
        )
    return axes


def look(place: int) -> dict[str, Any]:
    """Return colour and line of the arm in this place, the same in every picture of an experiment."""
    return {"color": _COLOURS[place % len(_COLOURS)], "linestyle": _LINES[place % len(_LINES)]}


def legend(figure: Figure, axes: Axes) -> None:
    """Put the names of the arms of a panel under a figure."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(5, max(1, len(names))))


def gathered(frames: Sequence[pd.DataFrame], metric: str, along: str) -> tuple[np.ndarray, np.ndarray]:
    """Return points that all seeds have in common and the values there [seeds, points]; NaN where one has none.

    Rounds are these points themselves; between counts of FLOPs a straight line is drawn.

    Parameters
    ----------
    frames
        One a seed.
    metric
        Column of the values.
    along
        Column of the points, which rises.
    """
    pairs = [(_numbers(frame, along), _numbers(frame, metric)) for frame in frames]
    if along == ROUND:
        last = min(len(points) for points, _ in pairs)
        return pairs[0][0][:last], np.stack([values[:last] for _, values in pairs])
    start, end = max(points[0] for points, _ in pairs), min(points[-1] for points, _ in pairs)
    points = np.linspace(start, max(start, end), _POINTS)
    return points, np.stack([np.interp(points, places, values) for places, values in pairs])


def _look_at(axes: Axes, seen: Sequence[np.ndarray]) -> None:
    """Show what the runs have, and half as much around it: intervals of two seeds reach far beyond."""
    finite = np.concatenate([values[np.isfinite(values)] for values in seen]) if seen else np.array([])
    if len(finite) and finite.max() > finite.min():
        margin = 0.5 * (finite.max() - finite.min())
        axes.set_ylim(finite.min() - margin, finite.max() + margin)


def _numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    values = pd.to_numeric(frame[column]).to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)
