"""Timetables: births and deaths at given rounds and in given numbers, as they came to pass in another run.

A yoked run differs from the one whose timetable it follows in what its newborns are made of, and in who dies; when, in
which organism and how many is the same. So it tells material and timing apart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qd.lifecycle.trial import born, died
from qd.records import Census, Decision

YOKED = "yoked"  # the reason of a death that a timetable asks for


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """What is to happen in one organism before one round."""

    round: int
    organism: int
    births: int
    deaths: int


Timetable = Mapping[tuple[int, int], Turn]  # by round and organism; at others nothing happens


def turns(pairs: Iterable[tuple[Decision, Census]]) -> tuple[Turn, ...]:
    """Return the turns at which components were born or died, by round and organism.

    What makes up a new organism in place of a diverging one is no birth of its lifecycle, and left out.

    Parameters
    ----------
    pairs
        Orders, each with the census of the same organism and round.
    """
    every = (
        Turn(order.round, order.organism, len(born(order, census)), len(died(order, census)))
        for order, census in pairs
        if not order.reseed
    )
    return tuple(sorted(turn for turn in every if turn.births or turn.deaths))


def timetable(given: Iterable[Turn]) -> dict[tuple[int, int], Turn]:
    """Return turns by round and organism.

    Raises
    ------
    ValueError
        If two are of one round and organism.
    """
    found: dict[tuple[int, int], Turn] = {}
    for turn in given:
        key = (turn.round, turn.organism)
        if key in found:
            raise ValueError(f"round {turn.round} of organism {turn.organism} has two turns; join them")
        found[key] = turn
    return found
