"""The life of each organism: its pool, births and deaths over the rounds, under the run's temperature."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from analysis import style

# Which colour a phase has; one that is not named here stays white.
PHASES: Mapping[str, str] = {
    "static": "#E4E4E4",
    "warm-up": "#E4E4E4",
    "gentle": "#DCEBF5",
    "full": "#FBEBD0",
}
_BAR = 0.8  # rounds
_CROSS: Mapping[str, Any] = {
    "color": style.PURPLE,
    "linestyle": "none",
    "marker": "x",
    "markersize": 4,
    "markeredgewidth": 1.1,
    "zorder": 3,
}


def spans(rounds: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Return the stretches of rounds with one phase: (phase, first round, last round), in order."""
    ordered = rounds.sort_values("round")
    stretch = (ordered["phase"] != ordered["phase"].shift()).cumsum()
    parts = [part for _, part in ordered.groupby(stretch, sort=True)]
    return [
        (part["phase"].iloc[0], int(part["round"].iloc[0]), int(part["round"].iloc[-1])) for part in parts
    ]


def phases(rounds: pd.DataFrame, axes: Axes) -> Axes:
    """Shade the rounds of each phase; the first stretch of each carries its name for the legend."""
    named: set[str] = set()
    for phase, first, last in spans(rounds):
        text = f"phase: {style.drawable(phase)}" if phase not in named else None
        colour = PHASES.get(phase, "none")
        axes.axvspan(first - 0.5, last + 0.5, facecolor=colour, linewidth=0, zorder=0, label=text)
        named.add(phase)
    return axes


def temperature(rounds: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the annealing temperature over the phases.

    Parameters
    ----------
    rounds
        One row per round: ``round``, ``temperature``, ``phase``.
    axes
        Where to draw.
    """
    phases(rounds, axes)
    marker = "o" if len(rounds) == 1 else ""
    axes.plot(rounds["round"], rounds["temperature"], color=style.INK, marker=marker, label="temperature")
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("temperature")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    return _rounds(axes, rounds)


def pool(
    rounds: pd.DataFrame, census: pd.DataFrame, decisions: pd.DataFrame, organism: int, axes: Axes
) -> Axes:
    """Draw one organism's living components, with births as bars up and deaths as bars down.

    All three count components, so they share one scale. A bar stands at the round before which the birth
    or death took place; the pool is counted at the round's end. A round in quarantine, which undid its births
    and deaths, is a gap with a cross.

    Parameters
    ----------
    rounds
        One row per round, for its span and phases.
    census
        ``organism``, ``round``, ``alive``, ``quarantine`` (None for a finite round).
    decisions
        ``organism``, ``round``, ``kind`` (birth or death), ``happens``.
    organism
        Which one to draw.
    axes
        Where to draw.
    """
    phases(rounds, axes)
    own = census[census["organism"] == organism].sort_values("round")
    undone = own["quarantine"].notna()
    axes.step(own["round"], own["alive"].mask(undone), where="mid", color=style.INK, linewidth=1.1)
    if len(own) == 1:
        axes.plot(own["round"], own["alive"].mask(undone), "o", color=style.INK)
    axes.plot(own["round"][undone], own["round"][undone] * 0, **_CROSS)
    for kind, colour, sign in (("birth", style.BLUE, 1), ("death", style.VERMILLION, -1)):
        counts = happened(decisions, organism, kind).drop(own["round"][undone], errors="ignore")
        axes.bar(counts.index, sign * counts, width=_BAR, color=colour, linewidth=0, zorder=2)
    axes.margins(y=0.12)
    axes.axhline(0.0, color=style.INK, linewidth=0.6)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")  # bars down are counts too
    axes.set_ylabel("components", fontsize=7)
    axes.text(1.01, 0.5, f"organism {organism}", transform=axes.transAxes, va="center")
    return _rounds(axes, rounds)


def happened(decisions: pd.DataFrame, organism: int, kind: str) -> pd.Series:
    """Return the number of an organism's births or deaths that happened, by round.

    Rounds without any are left out.

    Parameters
    ----------
    decisions
        ``organism``, ``round``, ``kind`` (birth or death), ``happens``.
    organism
        Which one to count.
    kind
        birth or death.
    """
    chosen = (
        (decisions["organism"] == organism) & (decisions["kind"] == kind) & decisions["happens"].astype(bool)
    )
    return decisions[chosen].groupby("round").size()


def lifecycle(
    rounds: pd.DataFrame, census: pd.DataFrame, decisions: pd.DataFrame, axes: Sequence[Axes]
) -> Sequence[Axes]:
    """Draw the temperature in the first axes and one organism, in ascending order, in each of the others.

    Parameters
    ----------
    rounds, census, decisions
        As in `pool`.
    axes
        One for the temperature and one for each organism of the census.

    Raises
    ------
    ValueError
        If there are not as many axes as organisms and one more.
    """
    organisms = sorted(census["organism"].unique())
    if len(axes) != len(organisms) + 1:
        raise ValueError(
            f"axes must be one more than the {len(organisms)} organisms, for the temperature; got {len(axes)}"
        )
    temperature(rounds, axes[0])
    for organism, panel in zip(organisms, axes[1:], strict=True):
        pool(rounds, census, decisions, organism, panel)
        if panel is not axes[1]:
            panel.sharey(axes[1])  # pools compare at a glance
    for panel in axes[:-1]:
        panel.set_xlabel("")
        panel.tick_params(labelbottom=False)
    return axes


def key(quarantined: bool) -> list[Artist]:
    """Return the legend's entries for `pool`, the same for every organism, with the cross if one is quarantined."""
    entries: list[Artist] = [
        Line2D([], [], color=style.INK, linewidth=1.1, label="living components"),
        Patch(facecolor=style.BLUE, label="births"),
        Patch(facecolor=style.VERMILLION, label="deaths"),
    ]
    return [*entries, Line2D([], [], **_CROSS, label="quarantine")] if quarantined else entries


def _rounds(axes: Axes, rounds: pd.DataFrame) -> Axes:
    style.round_axis(axes, rounds["round"])
    axes.set_xlim(rounds["round"].min() - 0.5, rounds["round"].max() + 0.5)
    return axes
