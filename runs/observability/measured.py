"""What is measured while a run goes on, and who may want to know it: nothing that is decided depends on any of it.

The driver and its dispatcher tell a `Recorder`, which they are given, of what has happened. All moments are in seconds
of the driver's clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from archive_store.journal.journal import Timing


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order that was answered."""

    job: str  # its name: advance, emit and others
    round: int
    number: int  # of the organism, or of the chunk; under 0: of calibration
    worker: str
    attempt: int
    sent: float
    answered: float
    parts: Mapping[str, float]  # seconds by the worker's clock, in the order of the work, and their `total`
    memory: int | None = None  # bytes that the worker's process has had resident at most


@dataclass(frozen=True, slots=True)
class Committed:
    """A round that was committed: from `begun` on it was stored, from `stored` on the journal was written."""

    round: int
    begun: float
    stored: float
    ended: float
    timings: Sequence[Timing] = ()  # what the journal was given
    memory: Mapping[str, int] = field(
        default_factory=dict
    )  # bytes resident at most, by worker and of the driver


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands after a round."""

    round: int
    rounds: int
    coverage: float
    qd_score: float
    elites: int
    alive: int  # components of all organisms
    organisms: int
    births: int
    deaths: int
    temperature: float
    loss: float | None
    score: float | None
    waiting: int  # orders without a worker
    workers: int


class Recorder(Protocol):
    """Is told what is measured."""

    def answered(self, order: Ordered) -> None:
        """Take note of an order that was answered."""

    def committed(self, commit: Committed) -> None:
        """Take note of a round that was committed."""

    def stands(self, standing: Standing) -> None:
        """Take note of where the run stands."""

    def happened(self, kind: str) -> None:
        """Take note of an incident, such as ``lost`` or ``failed``."""


class Recorders:
    """Tells several of what is measured.

    Parameters
    ----------
    each
        Who is told; nobody, if there is none.
    """

    def __init__(self, each: Iterable[Recorder] = ()) -> None:
        self._each = tuple(each)

    def answered(self, order: Ordered) -> None:
        """Tell of an order that was answered."""
        for one in self._each:
            one.answered(order)

    def committed(self, commit: Committed) -> None:
        """Tell of a round that was committed."""
        for one in self._each:
            one.committed(commit)

    def stands(self, standing: Standing) -> None:
        """Tell where the run stands."""
        for one in self._each:
            one.stands(standing)

    def happened(self, kind: str) -> None:
        """Tell of an incident."""
        for one in self._each:
            one.happened(kind)


NOBODY = Recorders()
