"""Where in behaviour space the archive holds an elite: its cells, or their centroids, two measures at a time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import style
from qd.measures import Ranges

if TYPE_CHECKING:
    from ribs.archives import CVTArchive


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
        [cells, p] for p measures, in the unit cube.
    axes
        Where to draw.
    measures
        Names of the run's measures in order, as in ``run.measures``.
    first, second
        Those on the horizontal and the vertical axis.
    norm
        The objective's colour scale, shared between panels; None takes that of these elites.
    ranges
        The calibrated ranges, to tick the axes in the measures' own units; None ticks the unit cube.
    """
    across, up = measures.index(first), measures.index(second)
    points = np.asarray(centroids)[:, [across, up]]
    filled = elites.sort_values(["objective", "cell"])
    cells = filled["cell"].to_numpy(dtype=np.int64)
    empty = np.setdiff1d(np.arange(len(points)), cells)
    scale = min(1.0, 4 / (len(measures) - 1))  # panels of more measures are smaller
    axes.scatter(points[empty, 0], points[empty, 1], s=5 * scale, color=style.EMPTY, linewidths=0, zorder=2)
    axes.scatter(
        points[cells, 0],
        points[cells, 1],
        c=filled["objective"].to_numpy(dtype=np.float64),
        cmap=style.OBJECTIVE_MAP,
        norm=norm or style.objective_norm(filled["objective"]),
        s=17 * scale,
        edgecolors="white",
        linewidths=0.3,
        zorder=3,
    )
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", box_aspect=1)
    _name_axes(axes, measures, across, up, ranges)
    return axes


def heatmap(archive: "CVTArchive", axes: Axes, measures: Sequence[str], ranges: Ranges | None = None) -> Axes:
    """Draw the cells of an archive of two measures, coloured by their elites' objectives, as pyribs does.

    Parameters
    ----------
    archive
        The ribs archive of a run, as ``run.archive()`` returns it.
    axes
        Where to draw.
    measures
        Names of the two measures, as in ``run.measures``: the first is on the horizontal axis.
    ranges
        The calibrated ranges, to tick the axes in the measures' own units; None ticks the unit square.
    """
    from ribs.visualize import cvt_archive_heatmap  # seconds to import

    norm = style.objective_norm(pd.Series(archive.data("objective")))
    cvt_archive_heatmap(
        archive,
        axes,
        cmap=style.OBJECTIVE_MAP,
        aspect="equal",
        lw=0.8,
        ec="white",
        vmin=norm.vmin,
        vmax=norm.vmax,
        cbar=None,
        clip=True,
    )
    axes.set_facecolor(style.EMPTY)  # ribs leaves cells without an elite transparent
    axes.grid(False)
    axes.set_box_aspect(1)
    _name_axes(axes, measures, 0, 1, ranges)
    return axes


def pairs(
    elites: pd.DataFrame,
    centroids: np.ndarray,
    axes: np.ndarray,
    measures: Sequence[str],
    ranges: Ranges | None = None,
) -> np.ndarray:
    """Draw all pairs of measures in the lower triangle of a grid of axes; the rest is switched off.

    Parameters
    ----------
    elites, centroids, measures, ranges
        As in `pair`.
    axes
        [p - 1, p - 1] array of axes for p measures; row i has measure i + 1 up, column j has measure j across.

    Raises
    ------
    ValueError
        If the grid of axes has another size.
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


def corner(measures: int) -> tuple[float, float, float, float]:
    """Return left, bottom, width and height of the place for the key, as shares of the figure.

    It is to the right of a heatmap of two measures, and over the diagonal of a grid of pairs of more.
    """
    side = measures - 1
    free = side // 2 / side  # of the rows, to the right of the diagonal
    left, bottom = (free + 0.06, 1 - free + 0.06) if side > 1 else (0.65, 0.35)
    return left, bottom, 0.96 - left, 0.92 - bottom


def key(elites: pd.DataFrame, centroids: np.ndarray, axes: Axes) -> Axes:
    """Explain cells in axes of their own: how many are filled, what grey is, and the colour scale.

    Parameters
    ----------
    elites
        One row per filled cell; ``objective`` is read.
    centroids
        [cells, p] for p measures: of two the cells themselves are drawn, else their centroids.
    axes
        Where to draw.
    """
    cells, filled = len(centroids), len(elites)
    axes.set_axis_off()
    axes.text(
        0.0, 1.0, f"{filled} of {cells} cells hold an elite ({filled / cells:.0%})", weight="bold", va="top"
    )
    areas = np.shape(centroids)[1] == 2
    note = "An area is a cell." if areas else "A point is the centroid of a cell."
    axes.text(0.0, 0.86, note if filled else f"{style.EMPTY_ARCHIVE}\n{note}", va="top")
    marks = [_mark(areas, style.EMPTY, 3, "empty cell")]
    if filled:
        marks.append(_mark(areas, style.OBJECTIVE_MAP(0.6), 5, "cell with an elite"))
        norm = style.objective_norm(elites["objective"])
        scale = axes.inset_axes((0.0, 0.36, 0.9, 0.06))
        style.objective_scale(norm, axes, cax=scale, orientation="horizontal")
    axes.legend(
        handles=marks, loc="upper left", bbox_to_anchor=(0.0, 0.74), borderaxespad=0.0, handlelength=1.0
    )
    return axes


def _mark(area: bool, colour: Any, size: float, text: str) -> Artist:
    if area:
        return Patch(facecolor=colour, label=text)
    return Line2D([], [], ls="", marker="o", ms=size, mew=0, color=colour, label=text)


def _name_axes(axes: Axes, measures: Sequence[str], across: int, up: int, ranges: Ranges | None) -> None:
    width = style.label_width(len(measures))
    axes.set_xlabel(style.label(measures[across], width))
    axes.set_ylabel(style.label(measures[up], width))
    style.measure_axis(axes.xaxis, across, ranges)
    style.measure_axis(axes.yaxis, up, ranges)
