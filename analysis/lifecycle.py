"""The life of each organism: its pool, births and deaths over the rounds, and what the births were worth."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from analysis import style
from analysis.statistics.intervals import estimate, mean
from qd.lifecycle.trial import MATERIALS

# Which colour a phase has; one that is not named here stays white.
PHASES: Mapping[str, str] = {
    "static": "#E4E4E4",
    "warm-up": "#E4E4E4",
    "gentle": "#DCEBF5",
    "full": "#FBEBD0",
}
BUDGET, MEMORY, ROOM = "budget", "memory", "room"  # reasons of a death that is not one of fitness
_BAR = 0.8  # rounds
_LINE, _LINES = 130, 24  # characters; lines of names, of which there are thousands in a long run
_CROSS: Mapping[str, Any] = {
    "color": style.PURPLE,
    "linestyle": "none",
    "marker": "x",
    "markersize": 4,
    "markeredgewidth": 1.1,
    "zorder": 3,
}

# Columns of shadows, and what each is called.
GAINS: Mapping[str, str] = {
    "gain_at_birth": "at birth",
    "gain_after_1": "after 1 round",
    "gain_after_5": "after 5 rounds",
}
COLOURS = dict(
    zip(MATERIALS, (style.VERMILLION, style.BLUE, style.SKY, style.ORANGE, style.GREY), strict=True)
)
_SHOWN = MATERIALS[:-1]  # the last is what the gains are measured against
_SPREAD = 0.16  # of the points of a material, to both sides


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
    """Draw one organism's living components, with births as bars up and deaths as bars down, by their reason.

    All count components, so they share one scale. A bar stands at the round before which the birth
    or death took place; the pool is counted at the round's end. A round in quarantine, which undid its births
    and deaths, is a gap with a cross.

    Parameters
    ----------
    rounds
        One row per round, for its span and phases.
    census
        ``organism``, ``round``, ``alive``, ``quarantine`` (None for a finite round).
    decisions
        ``organism``, ``round``, ``kind`` (birth or death), ``happens``, ``reason``.
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
    of_budget = decisions[decisions["reason"].isin((BUDGET, MEMORY))]  # the part next to the axis
    bars = ((decisions, "birth", style.BLUE), (decisions, "death", style.VERMILLION))
    for chosen, kind, colour in (*bars, (of_budget, "death", style.ORANGE)):
        counts = happened(chosen, organism, kind).drop(own["round"][undone], errors="ignore")
        heights = counts if kind == "birth" else -counts
        axes.bar(counts.index, heights, width=_BAR, color=colour, linewidth=0, zorder=2)
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


def dead(census: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """Return the deaths that happened and were not undone by a quarantine, by round, organism and slot.

    Parameters
    ----------
    census
        ``organism``, ``round``, ``quarantine``; of these organisms and rounds.
    decisions
        ``organism``, ``round``, ``kind``, ``slot``, ``happens``.
    """
    kept = census.loc[census["quarantine"].isna(), ["organism", "round"]]
    died = decisions[(decisions["kind"] == "death") & decisions["happens"].astype(bool)]
    return died.merge(kept).sort_values(["round", "organism", "slot"], ignore_index=True)


def roll(died: pd.DataFrame) -> list[str]:
    """Return who died of what, in lines: how many of each reason, then the names, a paragraph for each round.

    Of very many the last are named.

    Parameters
    ----------
    died
        As `dead` returns them; ``round``, ``component``, ``reason`` and ``z`` are read.
    """
    if died.empty:
        return ["Nobody has died."]
    of_budget, of_memory, for_room = (
        int((died["reason"] == reason).sum()) for reason in (BUDGET, MEMORY, ROOM)
    )
    of_fitness = len(died) - of_budget - of_memory - for_room
    head = f"{len(died)} died and are named organism.born.slot."
    if of_fitness:
        head += (
            f" {of_fitness} of their fitness: z is their share of their organism's work against that of the "
            "nearest in behaviour space, in standard deviations."
        )
    if of_budget:
        head += f" {of_budget} of the budget: they were the weakest, and the pool larger than lifecycle.budget_bytes."
    if of_memory:
        head += f" {of_memory} for want of memory: they were the weakest, and a step took too much."
    if for_room:
        head += f" {for_room} for room: the pool was full, and a newborn was worth more in the trial."
    rounds = died["round"].unique()[-_LINES:]  # each has at least one line
    named = [line for round in rounds for line in _named(died[died["round"] == round])]
    if len(rounds) < died["round"].nunique() or len(named) > _LINES:
        named = ["... earlier ones are in run.decisions()", *named[-_LINES:]]
    return [*textwrap.wrap(head, _LINE), *named]


def _named(part: pd.DataFrame) -> Iterator[str]:
    whys = (
        reason if reason in (BUDGET, MEMORY, ROOM) else f"z\N{NO-BREAK SPACE}{z:.2f}"
        for reason, z in zip(part["reason"], part["z"], strict=True)
    )
    names = (
        f"{style.drawable(name)}\N{NO-BREAK SPACE}({why})"
        for name, why in zip(part["component"], whys, strict=True)
    )
    text = f"round {part['round'].iloc[0]}:  " + ", ".join(names)
    yield from textwrap.wrap(text, _LINE, subsequent_indent=" " * 8, break_on_hyphens=False)


def obituary(lines: Sequence[str], axes: Axes) -> Axes:
    """Write the `roll` under the lowest axes and their label."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate("\n".join(lines), (0.0, 0.0), (0.0, -34.0), **place, fontsize=7, va="top")
    return axes


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


def key(quarantined: bool, budget: bool = False) -> list[Artist]:
    """Return the legend's entries for `pool`, the same for every organism.

    The cross is among them if one is quarantined, and the deaths of the budget if there are any.
    """
    entries: list[Artist] = [
        Line2D([], [], color=style.INK, linewidth=1.1, label="living components"),
        Patch(facecolor=style.BLUE, label="births"),
        Patch(facecolor=style.VERMILLION, label="deaths"),
    ]
    if budget:
        entries.append(Patch(facecolor=style.ORANGE, label="deaths of the budget"))
    if quarantined:
        entries.append(Line2D([], [], **_CROSS, label="quarantine"))
    return entries


def worth(found: pd.DataFrame, panels: Sequence[Axes]) -> Sequence[Axes]:
    """Draw every gain as a point, and the mean of each material with its bootstrap interval of 95 %.

    Parameters
    ----------
    found
        As `archive_store.frames.shadows` returns them.
    panels
        One for each of `GAINS`.
    """
    for (column, title), axes in zip(GAINS.items(), panels, strict=True):
        axes.axhline(0.0, color=style.INK, linewidth=0.7)
        for place, material in enumerate(_SHOWN):
            values = found.loc[found["material"] == material, column].dropna().to_numpy()
            if not len(values):
                continue
            beside = place + np.linspace(-_SPREAD, _SPREAD, len(values))
            axes.scatter(beside, values, s=9, color=COLOURS[material], alpha=0.45, linewidths=0)
            if len(values) > 1:
                whole = estimate([values], mean, np.random.default_rng(0))
                axes.vlines(place, whole.low, whole.high, color=style.INK, linewidth=1.4)  # type: ignore[arg-type]
            axes.plot(
                place, values.mean(), "o", color=COLOURS[material], markeredgecolor=style.INK, markersize=6
            )
        axes.set_xticks(range(len(_SHOWN)), _SHOWN)
        axes.set_xlim(-0.5, len(_SHOWN) - 0.5)
        axes.grid(axis="x", visible=False)
        axes.set_title(title, fontweight="normal")
    panels[0].set_ylabel("loss with nothing born, less with this (nats)")
    return panels


def _rounds(axes: Axes, rounds: pd.DataFrame) -> Axes:
    style.round_axis(axes, rounds["round"])
    axes.set_xlim(rounds["round"].min() - 0.5, rounds["round"].max() + 0.5)
    return axes
