"""One quiet look for every picture: colours that colour-blind readers can tell apart, and axes with units."""

import textwrap
from collections.abc import Sequence
from functools import cache
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from archive_store.shown import shown
from qd.measures import DESCRIPTIONS, Ranges

_FEW_ROUNDS = 10
_FONT = "DejaVu Sans"  # ships with matplotlib, so the bytes need no font of the machine
_NO_GLYPH = "\N{REPLACEMENT CHARACTER}"
LONGEST_NAME = 60  # characters
_TICK_FORMS = (*(f".{digits}f" for digits in range(5)), *(f".{digits}e" for digits in range(1, 17)))
WIDTH = 8.0  # inches; 1200 pixels at the resolution below
DPI = 150

# Okabe and Ito (2008), "Color Universal Design".
ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
INK, GREY, EMPTY, FAINT = "#222222", "#8A8A8A", "#C9C9C9", "#ECECEC"
OBJECTIVE = "objective [0 to 1]"
EMPTY_ARCHIVE = "The archive is empty."
EMPTY_SO_LOOK = f"{EMPTY_ARCHIVE}\nThe picture of coverage\nsays why."  # in every other picture
# Of the measures, as many as a run can have.
MEASURE_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, INK, GREY)
MEASURE_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

# The palest twentieth of viridis is left out: it cannot be seen as a thin line on white.
OBJECTIVE_MAP = LinearSegmentedColormap.from_list(
    "objective", matplotlib.colormaps["viridis"](np.linspace(0.0, 0.95, 256))
)
# Another one for shares, so that nobody takes them for objectives; what is empty is white, the least dark.
SHARE_MAP = LinearSegmentedColormap.from_list(
    "share", matplotlib.colormaps["cividis"](np.linspace(0.0, 0.95, 256))
)
# Shares against the even one, which is grey: what is empty is white. Blue has more, vermillion less.
BALANCE_MAP = LinearSegmentedColormap.from_list(
    "balance", ["#8A3B00", VERMILLION, "#F0C9AE", "#DADADA", "#AECFE4", BLUE, "#00446B"]
)
CORRELATION_MAP = matplotlib.colormaps["PuOr_r"]

QUIET: dict[str, Any] = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "font.family": _FONT,
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 3.5,
    "text.color": INK,
    "text.parse_math": False,  # a user's label is no formula, and nothing of ours is one
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "plasmodia",  # fixed, or element ids differ from one drawing to the next
}


def drawable(text: str, most: int = LONGEST_NAME) -> str:
    """Return a text out of a run as it can be drawn: in one line, cut, without characters that the font has not."""
    known = _glyphs()
    return "".join(each if ord(each) in known else _NO_GLYPH for each in shown(text, most))


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont(_FONT)).get_charmap())


def plain(name: str, width: int = 20) -> str:
    """Return the name of a measure as words, ``attention span``, in lines of at most ``width`` characters."""
    return textwrap.fill(drawable(name).replace("_", " "), width)


def label(name: str, width: int = 24) -> str:
    """Return the name of a measure, with its unit if known, in lines of at most ``width`` characters."""
    if name not in DESCRIPTIONS:
        return plain(name, width)
    return f"{plain(name, width)}\n" + textwrap.fill(f"[{DESCRIPTIONS[name].unit}]", width)


def label_width(measures: int) -> int:
    """Return how many characters wide a `label` may be where those of so many measures stand beside one another."""
    return min(24, 96 // (measures - 1))


def raw_ticks(low: float, high: float, positions: Sequence[float] = (0.0, 0.5, 1.0)) -> list[str]:
    """Return tick labels for positions u of the unit interval in a measure's own unit, ``low + u (high - low)``.

    All have the same number of digits, the fewest that are right to a hundredth of the interval; where
    that takes more than four after the point, powers of ten are written.

    Parameters
    ----------
    low, high
        Raw values at 0 and 1.
    positions
        In the unit interval.
    """
    values = [low + position * (high - low) for position in positions]
    for form in _TICK_FORMS:
        written = [float(f"{value:{form}}") + 0.0 for value in values]  # + 0.0: never "-0"
        if all(abs(text - value) <= 0.01 * (high - low) for text, value in zip(written, values, strict=True)):
            break
    return [f"{value:{form}}" for value in written]


def measure_axis(axis: Any, index: int, ranges: Ranges | None) -> None:
    """Tick one unit-interval axis (``axes.xaxis`` or ``axes.yaxis``) in the measure's own unit.

    Parameters
    ----------
    axis
        Its limits are those of the unit interval.
    index
        Of the measure, in the order of the ranges.
    ranges
        The calibrated ranges; None writes the positions 0, 0.5 and 1 in the unit cube themselves.
    """
    low, high = (0.0, 1.0) if ranges is None else (ranges.low[index], ranges.high[index])
    axis.set_ticks([0.0, 0.5, 1.0], labels=raw_ticks(low, high))


def objective_norm(objectives: pd.Series) -> Normalize:
    """Return a colour scale from the lowest to the highest finite objective, of positive width."""
    finite = objectives[np.isfinite(objectives)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return Normalize(low, high) if high > low else Normalize(low - 0.05, high + 0.05)


def objective_scale(norm: Normalize, axes: Axes, **arguments: Any) -> Any:
    """Draw the colour scale of the objective, and return matplotlib's colour bar.

    Parameters
    ----------
    norm
        From objectives to colours.
    axes
        What it is drawn beside, unless axes of its own are given (``cax=``).
    arguments
        Further ones of `matplotlib.figure.Figure.colorbar`.
    """
    place: dict[str, Any] = {} if "cax" in arguments else {"ax": axes}
    bar = axes.figure.colorbar(ScalarMappable(norm, OBJECTIVE_MAP), **place, **arguments)
    bar.outline.set_visible(False)
    bar.ax.grid(False)
    bar.set_label(OBJECTIVE)
    return bar


def round_axis(axes: Axes, rounds: pd.Series, text: str = "round") -> Axes:
    """Tick the horizontal axis with whole rounds from the first to the last, also where there is only one.

    Parameters
    ----------
    axes
        Their horizontal axis is changed.
    rounds
        Which rounds are drawn.
    text
        Label of the axis.
    """
    first, last = (int(rounds.min()), int(rounds.max())) if len(rounds) else (0, 1)
    margin = 0.02 * (last - first) if last > first else 0.5
    axes.set_xlim(first - margin, last + margin)
    if last - first < _FEW_ROUNDS:  # a locator would put ticks between them
        axes.set_xticks(range(first, last + 1))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
    axes.set_xlabel(text)
    return axes


def logarithmic(axes: Axes) -> Axes:
    """Use a log scale upwards, with plain numbers at 1, 2 and 5 times the powers of ten, or at the powers alone."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    decades = np.log10(high / low)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    return axes


def legend_above(axes: Axes, columns: int = 4, **arguments: Any) -> Any:
    """Put the legend over the axes, outside the data, and return it.

    Parameters
    ----------
    axes
        Whose labelled artists it names.
    columns
        How many entries stand side by side.
    arguments
        Further ones of `matplotlib.axes.Axes.legend`.
    """
    placed = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.2, "ncols": columns}
    return axes.legend(**{"columnspacing": 1.2, **placed, **arguments})


def sparse(count: int) -> int:
    """Return every how many points one carries a marker, so that markers of a long run stay apart."""
    return max(1, count // 20)


def limit(axes: Axes, value: float, text: str) -> None:
    """Draw a dashed level line with its name to the right of the axes, outside the data.

    Parameters
    ----------
    axes
        Where to draw.
    value
        Height of the line.
    text
        Its name.
    """
    axes.axhline(value, color=INK, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
    place = axes.get_yaxis_transform()
    axes.text(1.01, value, text, transform=place, ha="left", va="center", fontsize=7, color=INK)


def message(axes: Axes, text: str) -> Axes:
    """Write why there is nothing to draw, in place of empty axes."""
    axes.set_axis_off()
    note(axes, text)
    return axes


def note(axes: Axes, text: str) -> None:
    """Write a sentence in the middle of axes."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, wrap=True)
