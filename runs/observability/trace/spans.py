"""Spans: what was done from when to when, by whom, and within what; all on the driver's clock.

A worker's clock is another one, so that it reports durations alone. The driver knows when it sent an order and when it
had the answer. What the worker took is less than that, by the way there and back; half of this is put before and half
after, as the Network Time Protocol does, so that a part is misplaced by at most half of it. The parts of an order
follow one another in the order of the work; what is not named lies after them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from archive_store.journal.timed import DRIVER, TOTAL
from runs.observability.measured import Committed, Ordered

Attribute = str | int | float
EMITTING = ("emit", "audit emit", "conceive")


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was done, and what it consisted of."""

    name: str
    lane: str  # worker, or the driver
    begin: float  # seconds of the driver's clock
    end: float
    attributes: tuple[tuple[str, Attribute], ...]
    parts: "tuple[Span, ...]" = ()


def of_order(order: Ordered) -> Span:
    """Return the span of an order, and in it those of its parts."""
    is_emitted = order.job in EMITTING
    attributes: tuple[tuple[str, Attribute], ...] = (
        ("job", order.job),
        ("round", order.round),
        ("chunk" if is_emitted else "organism", order.number),
        ("worker", order.worker),
        ("attempt", order.attempt),
    )
    parts = tuple(_parts(order, attributes))
    name = "emit" if is_emitted else "order"
    return Span(name, order.worker, order.sent, order.answered, attributes, parts)


def of_commit(commit: Committed) -> Span:
    """Return the span of a commit: its files, then the journal's transaction."""
    attributes: tuple[tuple[str, Attribute], ...] = (("round", commit.round), ("worker", DRIVER))
    parts = (
        Span("store", DRIVER, commit.begun, commit.stored, attributes),
        Span("write", DRIVER, commit.stored, commit.ended, attributes),
    )
    return Span("commit", DRIVER, commit.begun, commit.ended, attributes, parts)


def _parts(order: Ordered, attributes: tuple[tuple[str, Attribute], ...]) -> Iterator[Span]:
    named = {name: max(0.0, seconds) for name, seconds in order.parts.items() if name != TOTAL}
    room = order.answered - order.sent
    taken = max(order.parts.get(TOTAL, 0.0), sum(named.values()))
    pace = min(1.0, room / taken) if taken > 0 else 1.0  # where the two clocks disagree about a rate
    begin = order.sent + max(0.0, room - taken) / 2
    for name, seconds in named.items():
        end = min(begin + pace * seconds, order.answered)
        yield Span(name, order.worker, begin, end, attributes)
        begin = end
