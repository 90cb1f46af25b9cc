"""How evenly the components of an organism are used, and which of them serve which kind of example.

The load of a component is the share of the probe split's tokens that it answers; the loads of a layer sum to the
number of components that each token goes to. The even share is what each would have if all had the same.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from analysis import style

STARVED = 0.25  # of the even share: what has less hardly learns
ALL = "all"  # column of the matrix for the load itself
_USAGE = "usage_"
_DARK = 0.55  # of the colour scale, under which numbers are white
_LOOK: dict[str, Any] = {
    "linestyle": "none",
    "markerfacecolor": "white",
    "markeredgecolor": style.INK,
    "markeredgewidth": 0.8,
    "clip_on": False,
}
_ASIDE = 0.2  # rounds from the middle: a component may live for one round only
_BIRTH = _LOOK | {"marker": "^", "markersize": 5.0}
_DEATH = _LOOK | {"marker": "X", "markersize": 5.5}


def of_organism(records: pd.DataFrame, organism: int) -> pd.DataFrame:
    """Return the records of one organism that have a load, in order of round and slot."""
    own = records[(records["organism"] == organism) & records["load"].notna()]
    return own.sort_values(["round", "slot"], ignore_index=True)


def relative(own: pd.DataFrame) -> pd.DataFrame:
    """Return loads over the even share of their layer in that round: a row per round, a column per component.

    There is a row for every round from the first to the last; where a component did not live it is NaN. Without
    records there are neither rows nor columns.
    """
    even = own.groupby(["round", "depth"])["load"].transform("mean")
    shares = own.assign(share=own["load"] / even).pivot(index="round", columns="component", values="share")
    return shares if own.empty else shares.reindex(range(own["round"].min(), own["round"].max() + 1))


def lives(own: pd.DataFrame) -> pd.DataFrame:
    """Return ``slot``, ``first`` and ``last`` round of each component, and whether it is ``newborn`` and ``died``.

    It has died if later rounds have records and it has none: a round in quarantine has no records at all.
    """
    spans = own.groupby("component", sort=False).agg(
        slot=("slot", "first"), born=("born", "first"), first=("round", "min"), last=("round", "max")
    )
    return spans.assign(newborn=spans["born"] > 0, died=spans["last"] < own["round"].max())


def by_kind(own: pd.DataFrame) -> pd.DataFrame:
    """Return the usage of the last round: a row per slot that was ever occupied, a column per kind of example.

    The first column, `ALL`, is the load; slots that are empty now are NaN.
    """
    names = [name for name in own.columns if name.startswith(_USAGE)]
    last = own[own["round"] == own["round"].max()].set_index("slot")
    usage = last[["load", *names]].set_axis([ALL, *(name.removeprefix(_USAGE) for name in names)], axis=1)
    return usage.reindex(sorted(own["slot"].unique()))


def balance(own: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the load of every component over the even share, whose mean is 1, and the largest and the smallest.

    Parameters
    ----------
    own
        Records of one organism, from `of_organism`.
    axes
        Where to draw.
    """
    shares = relative(own)
    marker = "o" if len(shares) == 1 else ""  # a single round would not show as a line
    axes.plot(shares.index, shares, color=style.EMPTY, linewidth=0.8, marker=marker, zorder=0.9)
    axes.plot(shares.index, shares.max(axis=1), color=style.BLUE, marker=marker, zorder=3)
    axes.plot(shares.index, shares.min(axis=1), color=style.VERMILLION, ls="--", marker=marker, zorder=3)
    style.limit(axes, 1.0, "mean")
    style.limit(axes, STARVED, "a quarter")
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("load\n[even share = 1]")
    return _rounds(axes, own)


def strips(own: pd.DataFrame, axes: Axes, scale: Axes) -> Axes:
    """Draw loads over the even share by slot, as a strip of colours for each, white where the slot was empty.

    The colours part at the even share, 1, and reach as far as the load that is furthest from it.

    A triangle is the first round of a component that was born, a cross the last round of one that died.

    Parameters
    ----------
    own
        Records of one organism, from `of_organism`.
    axes
        Where to draw.
    scale
        Axes for the colour scale.
    """
    rows = {slot: row for row, slot in enumerate(sorted(own["slot"].unique()))}
    first, last = own["round"].min(), own["round"].max()
    known, shares = lives(own), relative(own)
    by_slot = shares.T.groupby(known["slot"]).first()  # one component at a time lives in a slot
    image = axes.imshow(
        by_slot,
        cmap=style.BALANCE_MAP,
        norm=_about_even(shares),
        aspect="auto",
        extent=(first - 0.5, last + 0.5, len(rows) - 0.5, -0.5),
        interpolation="nearest",
    )
    _scale(image, scale, "load [even share = 1]")
    born, dead = known[known["newborn"]], known[known["died"]]
    for rounds, who, look in ((born["first"] - _ASIDE, born, _BIRTH), (dead["last"] + _ASIDE, dead, _DEATH)):
        if len(who):  # the layout makes room for marks that are nowhere
            axes.plot(rounds, who["slot"].map(rows), **look)
    axes.set_yticks(range(len(rows)), [str(slot) for slot in rows])
    axes.set_ylabel("slot" if own["depth"].nunique() == 1 else "slot (a black line parts layers)")
    return _rounds(_rows(axes, own), own)


def matrix(own: pd.DataFrame, axes: Axes, scale: Axes) -> Axes:
    """Draw the percentage of the tokens of each kind that every component answers in the last round.

    The rows are those of `strips`, with the names of the living components; the colours reach from the smallest to the
    largest number.

    Parameters
    ----------
    own
        Records of one organism, from `of_organism`.
    axes
        Where to draw.
    scale
        Axes for the colour scale.
    """
    percentages = 100 * by_kind(own)
    norm = _between(percentages)
    image = axes.imshow(percentages, cmap=style.SHARE_MAP, norm=norm, aspect="auto", interpolation="nearest")
    _scale(image, scale, "tokens answered [%]")
    for (row, column), value in np.ndenumerate(percentages.to_numpy()):
        if np.isfinite(value):
            ink = "white" if norm(value) < _DARK else style.INK
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=7)
    axes.axvline(0.5, color="white", linewidth=4.0)
    names = [style.plain(name) for name in percentages.columns]
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    living = own[own["round"] == own["round"].max()].set_index("slot")["component"]
    axes.yaxis.tick_right()
    axes.set_yticks(range(len(percentages)), living.reindex(percentages.index).fillna("").tolist())
    what = "kinds of examples, " if len(names) > 1 else ""
    axes.set_title(f"{what}round {own['round'].max()}", fontweight="normal")
    return _rows(axes, own)


def key() -> list[Artist]:
    """Return the entries of the legend."""
    return [
        Line2D([], [], color=style.BLUE, label="who has most"),
        Line2D([], [], color=style.VERMILLION, linestyle="--", label="who has least"),
        Line2D([], [], color=style.EMPTY, linewidth=0.8, label="every other"),
        Line2D([], [], **_BIRTH, label="born before this round"),
        Line2D([], [], **_DEATH, label="died after this round"),
    ]


def _between(values: pd.DataFrame) -> Normalize:
    """Return a colour scale from the smallest to the largest value, of a width of at least 1."""
    low, high = (float(end(values.to_numpy())) for end in (np.nanmin, np.nanmax))
    return Normalize(low, max(high, low + 1.0))


def _about_even(shares: pd.DataFrame) -> Normalize:
    """Return a colour scale about the even share, 1, whose ends are as far from it as the furthest load."""
    reach = max(0.01, float(np.nanmax(np.abs(shares.to_numpy() - 1.0))))  # where all are even, still a scale
    return Normalize(1.0 - reach, 1.0 + reach)


def _scale(image: AxesImage, axes: Axes, text: str) -> None:
    bar = axes.figure.colorbar(image, cax=axes, orientation="horizontal")
    bar.ax.grid(False)
    bar.outline.set_visible(False)
    bar.set_label(text)


def _rounds(axes: Axes, own: pd.DataFrame) -> Axes:
    style.round_axis(axes, own["round"])
    axes.set_xlim(own["round"].min() - 0.5, own["round"].max() + 0.5)
    return axes


def _rows(axes: Axes, own: pd.DataFrame) -> Axes:
    """Separate the rows of slots, and layers by a dark line."""
    layers = own.groupby("slot")["depth"].first().sort_index().to_numpy()
    for row, (before, after) in enumerate(pairwise(layers)):
        line = (style.INK, 0.9) if before != after else ("white", 1.5)
        axes.axhline(row + 0.5, color=line[0], linewidth=line[1])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return axes
