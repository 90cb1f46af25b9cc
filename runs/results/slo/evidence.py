"""What a journal says of the rounds of a run that objectives are about: times, lags, losses and memory."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from archive_store.journal.journal import WALL, Journal, Timing
from archive_store.journal.timed import BYTES, EMIT, HELD, IDLE, MEMORY, ORDER, STORE, WRITE
from runs.errors import RunError

MIB = 2**20
HOUR = 3600.0
LONGEST = 1e9  # seconds of a run, some thirty years
LOST = "lost"  # kind of the incident: an order was lost with its worker
_TIMED = (STORE, WRITE, IDLE, ORDER, HELD, f"{EMIT}{ORDER}", f"{EMIT}{HELD}")


@dataclass(frozen=True, slots=True)
class Sent:
    """An order of a round."""

    seconds: float  # from sending to the answer
    lag: int  # its round less the last that was committed when it was sent


@dataclass(frozen=True, slots=True)
class RoundEvidence:
    """What is known of a round; None: it was not measured, as in runs of older versions."""

    round: int
    wall: float  # seconds since the commit before
    commit: float | None  # seconds
    idle: float | None  # share of the workers' time, in [0, 1]
    orders: tuple[Sent, ...]
    lost: int  # orders that were lost
    memory: float | None  # MiB that the largest process has had resident at most


def walls_of(journal: Journal) -> dict[int, float]:
    """Return the seconds of each committed round from 1 on, the newest last.

    Raises
    ------
    RunError
        If they are none that a run can have taken.
    """
    rows = journal.timings(1, (WALL,))
    walls = {row.round: row.seconds for row in rows if row.round is not None and row.organism is None}
    wrong = next((each for each, seconds in walls.items() if not 0 <= seconds <= LONGEST), None)
    if wrong is not None or sum(walls.values()) > LONGEST:
        raise RunError(
            f"{journal.path} says that round {max(walls) if wrong is None else wrong} came after a time that no run "
            "can have taken; it was altered: restore it from a copy"
        )
    return walls


def evidence_of(journal: Journal, walls: Mapping[int, float], first: int) -> list[RoundEvidence]:
    """Return what is known of the rounds from one on, in order.

    Parameters
    ----------
    journal
        Of the run.
    walls
        Seconds of all rounds (`walls_of`).
    first
        Round with which to begin.
    """
    by_round: dict[int, list[Timing]] = {}
    for row in journal.timings(first, _TIMED):
        by_round.setdefault(row.round or 0, []).append(row)
    lost = _by_round([each.round for each in journal.incidents(LOST)])
    memory = dict(_memory(journal))
    return [
        RoundEvidence(
            round=round,
            wall=wall,
            commit=_commit(by_round.get(round, ())),
            idle=_idle(by_round.get(round, ()), wall),
            orders=tuple(_sent(by_round.get(round, ()), walls, round)),
            lost=lost.get(round, 0),
            memory=memory.get(round),
        )
        for round, wall in walls.items()
        if round >= first
    ]


def hours(rounds: Sequence[RoundEvidence]) -> list[float]:
    """Return how many orders were lost in each hour of work, the last of which may be shorter; none of no rounds."""
    found: dict[int, float] = {}
    worked = 0.0
    for each in rounds:
        worked += each.wall
        hour = max(0, math.ceil(worked / HOUR) - 1)
        found[hour] = found.get(hour, 0.0) + each.lost
    return [found.get(hour, 0.0) for hour in range(max(found, default=-1) + 1)]


def _commit(rows: Sequence[Timing]) -> float | None:
    seconds = {row.name: row.seconds for row in rows if row.name in (STORE, WRITE)}
    return sum(seconds.values()) if seconds.keys() == {STORE, WRITE} else None


def _idle(rows: Sequence[Timing], wall: float) -> float | None:
    idle = [row.seconds for row in rows if row.name == IDLE]
    return min(1.0, sum(idle) / (wall * len(idle))) if idle and wall > 0 else None


def _sent(rows: Sequence[Timing], walls: Mapping[int, float], round: int) -> Iterator[Sent]:
    """Yield the orders of a round: each is a row of its length, followed by one of how long its answer was held."""
    lengths = [row.seconds for row in rows if row.name.removeprefix(EMIT) == ORDER]
    held = [row.seconds for row in rows if row.name.removeprefix(EMIT) == HELD]
    if len(lengths) != len(held):
        raise RunError(
            f"round {round} of the journal has {len(lengths)} orders and {len(held)} times that answers were held; "
            "it was altered: restore it from a copy"
        )
    for length, since in zip(lengths, held, strict=True):
        yield Sent(length, _lag(length + since, walls, round))


def _lag(before: float, walls: Mapping[int, float], round: int) -> int:
    """Return the lag of an order that was sent so many seconds before its round was stored."""
    lag, passed = 1, walls[round]
    while before > passed and lag < round:
        passed += walls.get(round - lag, math.inf)
        lag += 1
    return lag


def _by_round(rounds: Sequence[int | None]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for round in rounds:
        counts[round or 0] = counts.get(round or 0, 0) + 1
    return counts


def _memory(journal: Journal) -> Iterator[tuple[int, float]]:
    for each in journal.incidents(MEMORY):
        try:
            found = json.loads(each.body)[BYTES]
            yield int(each.round or 0), max(found.values()) / MIB
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise RunError(
                f"the journal's row of the memory in round {each.round} cannot be read; restore it from a copy"
            ) from None
