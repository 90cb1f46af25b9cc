"""How the archive is searched: what each emitter brings to it, and whether elites are as good on held-out examples."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import style


def colours(emitters: pd.DataFrame) -> dict[str, str]:
    """Return a colour for each emitter, in the order in which they were first asked."""
    names = list(dict.fromkeys(emitters["emitter"]))
    return {
        name: style.MEASURE_COLOURS[place % len(style.MEASURE_COLOURS)] for place, name in enumerate(names)
    }


def gain(emitters: pd.DataFrame, axes: Axes) -> Axes:
    """Draw what each emitter has added to the QD score up to each round.

    Parameters
    ----------
    emitters
        One row per chunk: ``round``, ``emitter``, ``gain``.
    axes
        Where to draw.
    """
    rounds = range(int(emitters["round"].min()), int(emitters["round"].max()) + 1)
    for name, colour in colours(emitters).items():
        own = emitters[emitters["emitter"] == name].groupby("round")["gain"].sum()
        axes.plot(rounds, own.reindex(rounds, fill_value=0.0).cumsum(), color=colour, label=_short(name))
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("added to the QD score so far")
    style.legend_above(axes, columns=2)
    return style.round_axis(axes, emitters["round"])


def children(emitters: pd.DataFrame, axes: Axes) -> Axes:
    """Draw how many children each emitter was asked for, round by round, as stacked bars.

    Parameters
    ----------
    emitters
        One row per chunk: ``round``, ``emitter``, ``children``.
    axes
        Where to draw.
    """
    table = emitters.pivot_table(
        index="round", columns="emitter", values="children", aggfunc="sum", fill_value=0
    )
    below = np.zeros(len(table))
    for name, colour in colours(emitters).items():
        axes.bar(table.index, table[name], bottom=below, color=colour, width=0.9)
        below = below + table[name].to_numpy()
    axes.set_ylabel("children")
    style.round_axis(axes, emitters["round"])
    axes.set_xlim(table.index.min() - 0.5, table.index.max() + 0.5)
    return axes


def held_out(elites: pd.DataFrame, again: pd.DataFrame, chunks: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the objective of each elite on held-out examples against that by which it holds its cell.

    Parameters
    ----------
    elites
        One row per filled cell: ``cell``, ``objective``, ``emitter``.
    again
        The second look at the same: ``cell``, ``objective``.
    chunks
        One row per chunk, whose emitters give the colours.
    axes
        Where to draw.
    """
    both = elites.merge(again[["cell", "objective"]], on="cell", suffixes=("", "_again"))
    for name, colour in {"lived in an organism": style.GREY, **colours(chunks)}.items():
        own = both[both["emitter"].fillna("lived in an organism") == name]
        if len(own):
            axes.plot(
                *(own["objective"], own["objective_again"]),
                color=colour,
                linestyle="none",
                marker="o",
                markersize=3.5,
                label=_short(name),
            )
    ends = [0.0, float(both[["objective", "objective_again"]].to_numpy().max())]
    axes.plot(ends, ends, color=style.INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("objective on the probe split")
    axes.set_ylabel("on held-out examples")
    style.legend_above(axes, columns=2)
    return axes


def _short(name: str) -> str:
    return style.drawable(name.rpartition(":")[2], 24)
