"""What an organism predicts against what was to be predicted: lines over positions, or curves in space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from analysis import style

COLUMNS = 3  # of panels beside one another
_TRUTH: dict[str, Any] = {"color": style.SKY, "linewidth": 3.0, "label": "truth"}
_PREDICTED: dict[str, Any] = {
    "color": style.INK,
    "linewidth": 0.9,
    "marker": "o",
    "markersize": 1.8,
    "label": "prediction",
}
_START: dict[str, Any] = {
    "color": style.ORANGE,
    "linestyle": "none",
    "marker": "D",
    "markersize": 5.0,
    "markeredgecolor": style.INK,
    "markeredgewidth": 0.6,
    "label": "first of the truth",
}
_ERROR: dict[str, Any] = {"color": style.VERMILLION, "linewidth": 0, "label": "distance of the two"}


# Of forecasts to compare with, in their order.
_FORECASTS: Sequence[dict[str, Any]] = (
    {"color": style.PURPLE, "linewidth": 0.8, "linestyle": (0, (1, 1))},
    {"color": style.GREEN, "linewidth": 0.8, "linestyle": (0, (4, 1.5))},
)


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """What a simple forecast says of the examples of a kind, to compare with."""

    name: str
    predicted: np.ndarray  # [examples, S, outputs]
    r2: float  # over the test split


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Examples of one kind, [examples, S, outputs], and the organism's error over all test examples of the kind.

    Predictions that are not finite are left out of the picture, and counted in its headings.
    """

    name: str
    truth: np.ndarray
    predicted: np.ndarray
    error: float  # mean Euclidean distance of prediction and truth over the test split
    r2: float | None = None  # over the test split
    forecasts: tuple[Forecast, ...] = ()

    @property
    def drawn(self) -> np.ndarray:
        """The predictions, all of a position NaN where one is not finite, float64 [examples, S, outputs]."""
        finite = np.isfinite(self.predicted).all(-1, keepdims=True)
        return np.where(finite, self.predicted.astype(np.float64), np.nan)

    @property
    def distances(self) -> np.ndarray:
        """Euclidean distance of prediction and truth, NaN where there is none, [examples, S]."""
        return np.linalg.norm(self.drawn - self.truth, axis=-1)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What one organism predicts, at the end of a round, for a few test examples of every kind."""

    organism: int
    round: int
    kinds: tuple[Kind, ...]

    @property
    def in_space(self) -> bool:
        """Whether predictions are points in space."""
        return self.kinds[0].truth.shape[-1] == 3


def fill(kinds: Sequence[Kind], figure: Figure) -> None:
    """Fill a figure with all kinds, in space or over positions, and the key below; its title is left to others.

    Parameters
    ----------
    kinds
        What to draw.
    figure
        An empty one.
    """
    in_space = kinds[0].truth.shape[-1] == 3
    if in_space:
        rows = -(-len(kinds) // COLUMNS)
        figure.set_size_inches(style.WIDTH, 0.9 + 2.7 * rows)
        for place, kind in enumerate(kinds, 1):
            space(kind, figure.add_subplot(rows, COLUMNS, place, projection="3d"))
    else:
        figure.set_size_inches(style.WIDTH, 1.2 + 1.35 * len(kinds))
        heights = [1.0, 0.3] * len(kinds)
        lines(kinds, figure.subplots(2 * len(kinds), COLUMNS, squeeze=False, height_ratios=heights))
    figure.legend(
        handles=key(in_space, kinds[0].forecasts),
        loc="outside lower center",
        ncols=5,
        title="in titles: mean distance of the two and R2, over all test examples of the kind",
    )


def lines(kinds: Sequence[Kind], axes: np.ndarray) -> np.ndarray:
    """Draw a few examples of every kind over the positions: values in one row, the errors in the row below.

    Of several outputs each is a pair of lines. Values share a scale within a kind, errors throughout.

    Parameters
    ----------
    kinds
        What to draw.
    axes
        [2 kinds, COLUMNS] array of axes; those without an example are switched off.
    """
    # The largest that is a number, or 0.
    largest = max(float(np.fmax.reduce(kind.distances, axis=None, initial=0.0)) for kind in kinds)
    for values, errors, kind in zip(axes[::2], axes[1::2], kinds, strict=True):
        for panel, below in zip(values[1:], errors[1:], strict=True):
            panel.sharey(values[0])
            panel.tick_params(labelleft=False)
            below.tick_params(labelleft=False)
        for panel, below, *example in zip(
            values, errors, kind.truth, kind.drawn, kind.distances, strict=False
        ):
            _example(panel, below, *example)
            below.set_ylim(0.0, 1.05 * largest or 1.0)
            below.tick_params(labelbottom=kind is kinds[-1])
        for forecast, look in zip(kind.forecasts, _FORECASTS, strict=False):
            for panel, answer in zip(values, forecast.predicted, strict=False):
                panel.plot(np.where(np.isfinite(answer), answer, np.nan), **look)
        for panel in [*values[len(kind.truth) :], *errors[len(kind.truth) :]]:
            panel.set_axis_off()
        values[0].set_title(heading(kind, kind.drawn), fontweight="normal")
        values[0].set_ylabel("value")
        errors[0].set_ylabel("error")
    for below in axes[-1]:
        below.set_xlabel("position [tokens]")
    return axes


def _example(
    panel: Axes, below: Axes, truth: np.ndarray, predicted: np.ndarray, distance: np.ndarray
) -> None:
    positions = np.arange(len(truth))
    panel.plot(positions, truth, **_TRUTH)
    panel.plot(positions, predicted, **_PREDICTED)
    below.fill_between(positions, distance, **_ERROR)
    panel.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    below.yaxis.set_major_locator(MaxNLocator(nbins=1))
    for axes in (panel, below):
        axes.set_xlim(-0.5, len(truth) - 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    panel.tick_params(labelbottom=False)


def space(kind: Kind, axes: Any) -> Any:
    """Draw the first example as curves in space, in a cube that truth and prediction fill.

    Parameters
    ----------
    kind
        With three outputs.
    axes
        Made with ``projection="3d"``.
    """
    truth, predicted = kind.truth[0], kind.drawn[0]
    axes.plot(*truth.T, **_TRUTH)
    axes.plot(*predicted.T, **_PREDICTED)
    axes.plot(*truth[:1].T, **_START)
    low, high = (end.reduce(np.concatenate([truth, predicted])) for end in (np.fmin, np.fmax))
    reach = 0.5 * float((high - low).max()) or 1.0
    for axis, name, middle in zip((axes.xaxis, axes.yaxis, axes.zaxis), "xyz", (low + high) / 2, strict=True):
        axis.axes.set(**{f"{name}lim": (middle - reach, middle + reach)})
        axis.set_label_text(name)
        axis.labelpad = -6
        axis.set_major_locator(MaxNLocator(nbins=3))
        axis.set_tick_params(pad=-2, labelsize=6.5)
    axes.set_box_aspect((1, 1, 1), zoom=0.92)
    axes.set_facecolor("none")  # its neighbour's axis reaches into it
    axes.set_title(heading(kind, predicted), fontweight="normal")
    return axes


def heading(kind: Kind, drawn: np.ndarray) -> str:
    """Return the title of a kind: name, error and R2 over all its test examples, number of points that are missing.

    Parameters
    ----------
    kind
        Whose.
    drawn
        The predictions that are drawn, NaN where one is not finite.
    """
    in_space = kind.truth.shape[-1] == 3
    text = f"{style.plain(kind.name)}: {'position' if in_space else 'mean'} error {kind.error:.3g}"
    if kind.r2 is not None:
        others = ", ".join(f"{each.name} {each.r2:.3g}" for each in kind.forecasts)
        then = "\n" if in_space else " "  # there is less room beside a cube
        text += f"{'' if in_space else ','}{then}R2 {kind.r2:.3g}" + (f"{then}({others})" if others else "")
    missing = np.isnan(drawn).any(-1)
    return f"{text}\n{missing.sum()} of {missing.size} points are not finite" if missing.any() else text


def key(in_space: bool, forecasts: Sequence[Forecast] = ()) -> list[Artist]:
    """Return the entries of the legend; forecasts are drawn over positions alone."""
    curves: list[Artist] = [Line2D([], [], **_TRUTH), Line2D([], [], **_PREDICTED)]
    if in_space:
        return [*curves, Line2D([], [], **_START)]
    others = [
        Line2D([], [], label=each.name, **look) for each, look in zip(forecasts, _FORECASTS, strict=False)
    ]
    return [*curves, Patch(**_ERROR), *others]
