"""The hash chain: the digest of a round covers its events and, through the digest before, all earlier rounds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archive_store.errors import UNREADABLE, ChainError
from qd.canonical import plain, sha256, written

MARK_DIGITS = 16  # enough to find an accident; forgers are caught by the round's digest


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the journal: something that the run's digest covers."""

    round: int
    seq: int  # position within the round, from 0
    organism: int | None  # whom it concerns, as the body says
    kind: str  # calibration, environment, decision, census, quarantine, outcome, validity or summary
    body: str  # canonical JSON of the value with "kind" added: the very bytes that are hashed

    @property
    def value(self) -> dict[str, Any]:
        """The body as JSON gives it; non-finite numbers are strings (`qd.canonical.number`).

        Raises
        ------
        ChainError
            If the body is not a JSON object. (NaN and Infinity are not JSON.)
        """
        try:
            value = json.loads(self.body, parse_constant=_no_number)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            message = f"the body of event {self.seq} of round {self.round} is not a JSON object"
            raise ChainError(f"{message}: {self.body!r:.80}", self.round, self.seq)
        return value

    @property
    def mark(self) -> str:
        """The first digits of the body's SHA-256: they tell which event of a broken round was changed."""
        return sha256(self.body.encode("utf-8"))[:MARK_DIGITS]


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def numbered(round: int, items: Iterable[tuple[str, Any]]) -> list[Event]:
    """Return the events of a round, in their order, from pairs of kind and value.

    A value is a dataclass or a mapping with canonical JSON. Its organism is its own ``organism`` or that of
    its candidate's component.
    """
    events = []
    for seq, (kind, value) in enumerate(items):
        body = {**plain(value), "kind": kind}
        events.append(Event(round, seq, organism_of(body), kind, written(body)))
    return events


def organism_of(body: Mapping[str, Any]) -> int | None:
    """Return the organism that an event's value concerns, or None for the whole run."""
    if "candidate" in body:
        return int(body["candidate"]["component"][0])
    return body.get("organism")


def round_digest(previous: str, events: Sequence[Event]) -> str:
    """Return ``sha256(previous + "[" + bodies joined by "," + "]")``.

    Parameters
    ----------
    previous
        The digest of the round before; for round 0 the canonical JSON of what the run stands on (format,
        config without ``execution``, data, centroids), which the journal keeps as ``base``.
    events
        All events of the round, in their order.
    """
    return sha256(f"{previous}[{','.join(event.body for event in events)}]".encode())


def verify(base: str, digests: Mapping[int, str], events: Sequence[Event], marks: Sequence[str]) -> None:
    """Recompute the chain and compare it with the journal.

    Parameters
    ----------
    base
        What round 0 is chained to.
    digests
        Journaled digest of each round.
    events, marks
        All events by round and position, and the mark that each was journaled with.

    Raises
    ------
    ChainError
        Names the first event, or else the first round, that is not as it was written.
    """
    by_round: dict[int, list[tuple[Event, str]]] = {round: [] for round in digests}
    for event, mark in zip(events, marks, strict=True):
        if event.round not in by_round:
            raise ChainError(
                f"round {event.round} has events but no digest; the journal was altered", event.round
            )
        by_round[event.round].append((event, mark))
    previous = base
    for expected, round in enumerate(sorted(digests)):
        if round != expected:
            raise ChainError(f"round {expected} is missing; the journal was altered", expected)
        for seq, (event, mark) in enumerate(by_round[round]):
            _verify_event(event, seq, mark)
        previous = round_digest(previous, [event for event, _ in by_round[round]])
        if previous != digests[round]:
            message = f"the events of round {round} give digest {previous}, journaled is {digests[round]}"
            raise ChainError(f"{message}; the journal was altered", round)


def _verify_event(event: Event, seq: int, mark: str) -> None:
    where = f"round {event.round}, event {seq}"
    if event.seq != seq:
        raise ChainError(f"{where} is missing; the journal was altered", event.round, seq)
    if event.mark != mark:
        raise ChainError(
            f"{where} ({event.kind}) is not as it was written; the journal was altered", event.round, seq
        )
    if (event.kind, event.organism) != _listed_as(event.value):
        raise ChainError(
            f"{where} is listed as another kind or organism than its body says", event.round, seq
        )


def _listed_as(value: Mapping[str, Any]) -> tuple[Any, Any]:
    try:
        return value.get("kind"), organism_of(value)
    except UNREADABLE:
        return None, None
