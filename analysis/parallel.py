"""The elites as lines across all measures at once, drawn by pyribs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes

from analysis import style
from qd.measures import Ranges

if TYPE_CHECKING:
    from ribs.archives import CVTArchive


def parallel(
    elites: pd.DataFrame,
    archive: "CVTArchive",
    axes: Axes,
    measures: Sequence[str],
    ranges: Ranges | None = None,
) -> Axes:
    """Draw one line per elite through its measures, coloured by objective; better ones lie on top.

    Parameters
    ----------
    elites
        One row per filled cell: ``cell``, ``objective`` and a column in [0, 1] per measure.
    archive
        The ribs archive, for the bounds of the axes; its content is not read.
    axes
        Where to draw; one axis per measure is laid over it.
    measures
        Names of the run's measures in order, as in ``run.measures``.
    ranges
        The calibrated ranges, to tick the axes in the measures' own units; None ticks the unit cube.
    """
    if elites.empty:
        return style.message(axes, style.EMPTY_SO_LOOK)
    from ribs.visualize import parallel_axes_plot  # seconds to import

    axes.grid(False)
    before = list(axes.figure.axes)
    norm = style.objective_norm(elites["objective"])
    parallel_axes_plot(
        archive,
        axes,
        df=_as_ribs(elites, measures),
        measure_order=[
            (index, style.label(name, style.label_width(len(measures))))
            for index, name in enumerate(measures)
        ],
        cmap=style.OBJECTIVE_MAP,
        linewidth=0.9,
        alpha=0.75,
        vmin=norm.vmin,
        vmax=norm.vmax,
        sort_archive=True,
        cbar=None,
    )
    overlaid = [panel for panel in axes.figure.axes if panel not in before]
    _units([axes, *overlaid], ranges)
    style.objective_scale(norm, axes, location="bottom", shrink=0.5, aspect=35, pad=0.05)
    return axes


def _as_ribs(elites: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Return the elites under the column names of ribs, ascending by objective; ties keep the order of the cells."""
    places = {f"measures_{index}": elites[name] for index, name in enumerate(measures)}
    frame = pd.DataFrame({"index": elites["cell"], "objective": elites["objective"], **places})
    return frame.sort_values(["objective", "index"], ignore_index=True)


def _units(axes: Sequence[Axes], ranges: Ranges | None) -> None:
    for index, panel in enumerate(axes):
        style.measure_axis(panel.yaxis, index, ranges)
        panel.grid(False)
        panel.tick_params(axis="y", pad=2)
        panel.spines["right"].set_visible(index > 0)  # ribs moved it to where the measure stands
        for text in panel.get_yticklabels():
            text.set_bbox({"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.8})
    axes[0].tick_params(axis="x", length=0)
