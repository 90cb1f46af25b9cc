"""The course of a training in four panels: losses, use of the experts, error on the task, throughput.

Records are the lines of a training's log (`runs.models.fit.step.log`), of which only those fields are read that a panel
needs; a training that has just begun may have none of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis import style
from analysis.rendering import titled

Records = Sequence[Mapping[str, Any]]
MOST_ROWS = 64  # experts of all layers that are drawn
NOTHING = "No step has been logged yet."


def dashboard(records: Records, score_name: str, title: str, figure: Figure) -> None:
    """Fill a figure with the four panels.

    Parameters
    ----------
    records
        Lines of the log, in their order.
    score_name
        ``accuracy`` or ``R2``: the error is what is missing to 1.
    title
        Of the figure.
    figure
        An empty one.
    """
    figure.set_size_inches(style.WIDTH, 5.4)
    (first, second), (third, fourth) = figure.subplots(2, 2)
    losses(records, first)
    experts(records, second)
    error(records, score_name, third)
    throughput(records, fourth)
    titled(figure, title)


def losses(records: Records, axes: Axes) -> Axes:
    """Draw the training loss of each logged step and the validation loss of each evaluation, on a log scale."""
    axes.set_title("loss")
    train, validation = _series(records, "loss"), _series(records, "loss", "validation")
    if train.empty:
        return style.message(axes, NOTHING)
    _line(axes, train, style.BLUE, "training")
    _line(axes, validation, style.ORANGE, "validation", linestyle="--")
    _logarithmic(axes, train, validation)
    axes.set_ylabel("loss")
    style.legend_above(axes, columns=2, bbox_to_anchor=(0.25, 1.0))
    return _steps(axes, records)


def experts(records: Records, axes: Axes) -> Axes:
    """Draw the load of every expert over the even share, a row for each expert of each layer; else the gradients' norm.

    The loads of a layer are shares of its tokens (``expert_utilization`` [L, E]), and the even share is their mean.
    """
    logged = [record for record in records if record.get("expert_utilization")]
    if not logged:
        axes.set_title("gradient norm")
        norm = _series(records, "gradient_norm")
        if norm.empty:
            return style.message(axes, NOTHING)
        _line(axes, norm, style.GREEN, "")
        _logarithmic(axes, norm)
        axes.set_ylabel("norm, before clipping")
        return _steps(axes, records)
    axes.set_title("load of experts")
    steps = np.array([record["step"] for record in logged], dtype=np.float64)
    loads = np.array([record["expert_utilization"] for record in logged], dtype=np.float64)  # [T, L, E]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = loads / loads.mean(-1, keepdims=True)
    layers, number = relative.shape[1:]
    rows = np.nan_to_num(relative.reshape(len(steps), -1).T)[:MOST_ROWS]
    edges = np.concatenate([[steps[0] - 1], steps])
    reach = max(0.1, float(np.abs(rows - 1).max()))
    image = axes.pcolormesh(
        edges,
        np.arange(len(rows) + 1) - 0.5,
        rows,
        cmap=style.BALANCE_MAP,
        norm=TwoSlopeNorm(1.0, max(0.0, 1 - reach), 1 + reach),
        rasterized=True,
    )
    for layer in range(1, -(-len(rows) // number)):
        axes.axhline(layer * number - 0.5, color=style.INK, linewidth=0.8)
    axes.invert_yaxis()
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_ylabel("expert" if layers == 1 else "expert (lines part layers)")
    axes.grid(False)
    bar = axes.figure.colorbar(image, ax=axes)
    bar.outline.set_visible(False)
    bar.ax.grid(False)
    bar.set_label("load [even share = 1]")
    return _steps(axes, logged)


def error(records: Records, score_name: str, axes: Axes) -> Axes:
    """Draw what the validation score is short of 1, on a log scale: the error rate, or unexplained variance.

    Parameters
    ----------
    records
        Lines of the log.
    score_name
        ``accuracy`` or ``R2``.
    axes
        Where to draw.
    """
    axes.set_title("error rate" if score_name == "accuracy" else "unexplained variance")
    missing = 1 - _series(records, "score", "validation")
    if missing.empty:
        return style.message(axes, "Nothing has been evaluated yet.")
    _line(axes, missing, style.ORANGE, "")
    _logarithmic(axes, missing)
    axes.set_ylabel(f"1 - {style.plain(score_name)}, validation")
    return _steps(axes, records)


def throughput(records: Records, axes: Axes) -> Axes:
    """Draw the tokens that are learned from in a second; evaluations are not counted."""
    axes.set_title("throughput")
    rate = _series(records, "tokens_per_second")
    if rate.empty:
        return style.message(axes, NOTHING)
    _line(axes, rate, style.BLUE, "")
    axes.set_ylim(0.0, 1.1 * float(rate.max()) or 1.0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylabel("tokens / s")
    return _steps(axes, records)


def _series(records: Records, name: str, within: str | None = None) -> pd.Series:
    """Return a field by step, without what is missing or not finite."""
    found = {}
    for record in records:
        fields = record if within is None else record.get(within) or {}
        value = fields.get(name)
        if isinstance(value, int | float) and np.isfinite(value):
            found[record["step"]] = float(value)
    return pd.Series(found, dtype=np.float64)


def _line(axes: Axes, values: pd.Series, colour: str, name: str, linestyle: str = "-") -> None:
    marker = "o" if len(values) <= 30 else ""  # a single value would not show as a line
    axes.plot(values.index, values, color=colour, label=name, marker=marker, linestyle=linestyle)


def _logarithmic(axes: Axes, *series: pd.Series) -> None:
    """Use a log scale where all values allow it."""
    if all((values > 0).all() for values in series):
        style.logarithmic(axes)


def _steps(axes: Axes, records: Records) -> Axes:
    return style.round_axis(axes, pd.Series([record["step"] for record in records]), "step")
