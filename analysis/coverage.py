"""Where in behaviour space the archive holds an elite: the centroids of its cells, two measures at a time."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from analysis import style
from qd.measures import Ranges


def pair(
    elites: pd.DataFrame,
    centroids: np.ndarray,
    axes: Axes,
    measures: Sequence[str],
    first: str,
    second: str,
    norm: Normalize | None = None,
    ranges: Ranges | None = None,
) -> Axes:
    """Draw every cell's centroid in two measures: grey if empty, else coloured by its elite's objective.

    A point stands at the centroid, not at the behaviour of the elite, so that pictures of two rounds
    differ in colours only. Better elites lie on top.

    Parameters
    ----------
    elites
        One row per filled cell; ``cell`` and ``objective`` are read.
    centroids
        [cells, 5], in the unit cube.
    axes
        Where to draw.
    measures
        Names of the run's measures in order, as ``run.measures`` gives them.
    first, second
        Those on the horizontal and the vertical axis.
    norm
        The objective's colour scale, shared between panels; None takes that of these elites.
    ranges
        The calibrated ranges, to tick the axes in the measures' own units; None ticks the unit cube.
    """
    columns = [measures.index(first), measures.index(second)]
    points = np.asarray(centroids)[:, columns]
    filled = elites.sort_values(["objective", "cell"])
    cells = filled["cell"].to_numpy(dtype=np.int64)
    empty = np.setdiff1d(np.arange(len(points)), cells)
    axes.scatter(points[empty, 0], points[empty, 1], s=5, color=style.EMPTY, linewidths=0, zorder=2)
    axes.scatter(
        points[cells, 0],
        points[cells, 1],
        c=filled["objective"].to_numpy(dtype=np.float64),
        cmap=style.OBJECTIVE_MAP,
        norm=norm or style.objective_norm(filled["objective"]),
        s=17,
        edgecolors="white",
        linewidths=0.3,
        zorder=3,
    )
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", box_aspect=1)
    axes.set_xlabel(style.label(first))
    axes.set_ylabel(style.label(second))
    style.measure_axis(axes.xaxis, columns[0], ranges)
    style.measure_axis(axes.yaxis, columns[1], ranges)
    return axes


def pairs(
    elites: pd.DataFrame,
    centroids: np.ndarray,
    axes: np.ndarray,
    measures: Sequence[str],
    ranges: Ranges | None = None,
) -> np.ndarray:
    """Draw all ten pairs in the lower triangle of a four by four grid of axes; the rest is switched off.

    Parameters
    ----------
    elites, centroids, measures, ranges
        As in `pair`.
    axes
        [4, 4] array of axes; row i has measure i + 1 up, column j has measure j across.

    Raises
    ------
    ValueError
        If the grid of axes is not four by four.
    """
    side = len(measures) - 1
    if np.shape(axes) != (side, side):
        raise ValueError(
            f"axes must be a {side} by {side} array, for all pairs of {len(measures)} measures; "
            f"its shape is {np.shape(axes)}"
        )
    norm = style.objective_norm(elites["objective"])
    for (row, column), panel in np.ndenumerate(axes):
        if column > row:
            panel.set_axis_off()
            continue
        pair(elites, centroids, panel, measures, measures[column], measures[row + 1], norm, ranges)
        if row < side - 1:
            panel.set_xlabel("")
            panel.tick_params(labelbottom=False)
        if column > 0:
            panel.set_ylabel("")
            panel.tick_params(labelleft=False)
    return axes


def key(elites: pd.DataFrame, centroids: np.ndarray, axes: Axes) -> Axes:
    """Explain the pairs in axes of their own: how much is filled, what grey is, and the colour scale."""
    cells, filled = len(centroids), len(elites)
    axes.set_axis_off()
    axes.text(
        0.0, 1.0, f"{filled} of {cells} cells hold an elite ({filled / cells:.0%})", weight="bold", va="top"
    )
    note = "A point is the centroid of a cell."
    axes.text(0.0, 0.86, note if filled else f"{style.EMPTY_ARCHIVE}\n{note}", va="top")
    marks = [Line2D([], [], ls="", marker="o", ms=3, mew=0, color=style.EMPTY, label="empty cell")]
    if filled:
        full = style.OBJECTIVE_MAP(0.6)
        marks.append(Line2D([], [], ls="", marker="o", ms=5, mew=0, color=full, label="cell with an elite"))
        norm = style.objective_norm(elites["objective"])
        scale = axes.inset_axes((0.0, 0.36, 0.9, 0.06))
        style.objective_scale(norm, axes, cax=scale, orientation="horizontal")
    axes.legend(
        handles=marks, loc="upper left", bbox_to_anchor=(0.0, 0.74), borderaxespad=0.0, handlelength=1.0
    )
    return axes
