"""Where in behaviour space the archive holds an elite: its cells, two measures at a time."""

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


_OWN: dict[str, Any] = {
    "color": style.INK,
    "linestyle": "none",
    "marker": "o",
    "markersize": 1.6,
    "markeredgewidth": 0,
    "zorder": 4,
}
_PASSED = style.GREY  # an empty cell into which components came


def pair(
    elites: pd.DataFrame,
    centroids: np.ndarray,
    axes: Axes,
    measures: Sequence[str],
    first: str,
    second: str,
    norm: Normalize | None = None,
    ranges: Ranges | None = None,
    passed: np.ndarray | None = None,
) -> Axes:
    """Draw every cell's centroid in two measures: grey if empty, else coloured by its elite's objective.

    A point stands at the centroid, so that points of two rounds differ in colours only; the elite's own behaviour is
    a black dot. Better elites lie on top. An empty cell into which a component came is darker.

    Parameters
    ----------
    elites
        One row per filled cell; ``cell``, ``objective`` and the two measures, in [0, 1], are read.
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
    passed
        The cells that a component was ever in, from `analysis.emptiness.visited`; None: not known.
    """
    across, up = measures.index(first), measures.index(second)
    points = np.asarray(centroids)[:, [across, up]]
    filled = elites.sort_values(["objective", "cell"])
    cells = filled["cell"].to_numpy(dtype=np.int64)
    empty = np.setdiff1d(np.arange(len(points)), cells)
    scale = min(1.0, 4 / (len(measures) - 1))  # panels of more measures are smaller
    greys = [style.EMPTY if passed is None or not passed[cell] else _PASSED for cell in empty]
    axes.scatter(points[empty, 0], points[empty, 1], s=5 * scale, color=greys, linewidths=0, zorder=2)
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
    axes.plot(filled[first], filled[second], **_OWN | {"markersize": 1.6 * scale})
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", box_aspect=1)
    _name_axes(axes, measures, across, up, ranges)
    return axes


def heatmap(
    archive: "CVTArchive",
    axes: Axes,
    measures: Sequence[str],
    ranges: Ranges | None = None,
    passed: np.ndarray | None = None,
) -> Axes:
    """Draw the cells of an archive of two measures, coloured by their elites' objectives, as pyribs does.

    Black dots are the elites' own behaviours; a dark grey one marks an empty cell into which a component came.

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
    passed
        As in `pair`.
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
    elites = archive.data(["index", "measures"])
    if passed is not None:
        empty = archive.centroids[np.setdiff1d(np.flatnonzero(passed), elites["index"])]
        axes.plot(empty[:, 0], empty[:, 1], **{**_OWN, "color": _PASSED, "markersize": 3.0})
    axes.plot(elites["measures"][:, 0], elites["measures"][:, 1], **_OWN)
    _name_axes(axes, measures, 0, 1, ranges)
    return axes


def pairs(
    elites: pd.DataFrame,
    centroids: np.ndarray,
    axes: np.ndarray,
    measures: Sequence[str],
    ranges: Ranges | None = None,
    passed: np.ndarray | None = None,
) -> np.ndarray:
    """Draw all pairs of measures in the lower triangle of a grid of axes; the rest is switched off.

    Parameters
    ----------
    elites, centroids, measures, ranges, passed
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
        pair(elites, centroids, panel, measures, measures[column], measures[row + 1], norm, ranges, passed)
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
    left, bottom = (0.13 + 0.9 * free, 1 - free + 0.06) if side > 1 else (0.65, 0.35)  # labels take a tenth
    return left, bottom, 0.96 - left, 0.92 - bottom


def key(elites: pd.DataFrame, centroids: np.ndarray, axes: Axes, passed: np.ndarray | None = None) -> Axes:
    """Explain cells in axes of their own: how many are filled, what greys are, and the colour scale.

    Parameters
    ----------
    elites
        One row per filled cell; ``cell`` and ``objective`` are read.
    centroids
        [cells, p] for p measures: of two the cells themselves are drawn, else their centroids.
    axes
        Where to draw.
    passed
        As in `pair`.
    """
    cells, filled = len(centroids), len(elites)
    areas = np.shape(centroids)[1] == 2
    axes.set_axis_off()
    text = f"{filled} of {cells} cells hold an elite ({filled / cells:.0%})"
    axes.text(0.0, 1.0, text, weight="bold", va="top")
    marks = []
    if filled:
        marks += [
            _mark(
                areas,
                style.OBJECTIVE_MAP(0.6),
                5,
                "cell with an elite" + ("" if areas else ", at its centroid"),
            ),
            Line2D([], [], **_OWN, label="behaviour of an elite"),
        ]
        norm = style.objective_norm(elites["objective"])
        scale = axes.inset_axes((0.0, 0.24, 0.9, 0.06))
        style.objective_scale(norm, axes, cax=scale, orientation="horizontal")
    else:
        axes.text(0.0, 0.3, style.EMPTY_ARCHIVE, va="top")
    if passed is None:
        marks.append(_mark(areas, style.EMPTY, 3, "empty cell"))
    else:
        missed = int(passed.sum()) - int(passed[elites["cell"].to_numpy(dtype=np.int64)].sum())
        marks += [
            _mark(False, _PASSED, 3, f"empty: visitors did not compete ({missed})"),
            _mark(areas, style.EMPTY, 3, f"empty: no component ever came ({cells - filled - missed})"),
        ]
    axes.legend(
        handles=marks, loc="upper left", bbox_to_anchor=(0.0, 0.88), borderaxespad=0.0, handlelength=1.0
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
