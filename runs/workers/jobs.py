"""Jobs and their results: done, lost with a worker, failed, or not begun because their input was lost."""

from dataclasses import dataclass, field
from typing import Any

from runs.errors import RunError

Handle = Any  # stands for bytes or genomes that stay where they are until they are fetched
Key = tuple[str, int, int]  # (name, round, organism or chunk): what identifies a job, whatever its attempt
ADVANCE = "advance"
AGAIN = "advance again"  # by another order, as there was too little memory for the first
AUDIT = "audit"  # a job "advance" that is done again
SHADOW = "shadow "  # and the material: a job that no digest depends on
EMIT, EMIT_AGAIN, CONCEIVE, RESCORE = "emit", "audit emit", "conceive", "rescore"  # jobs of chunks


class Exhausted(RunError):
    """A worker ran out of memory or disk."""


class OutOfMemory(Exhausted):
    """A worker ran out of memory."""


class Gone(RunError):
    """What a handle stood for was lost with the machine that kept it."""


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work: a function of `runs.trainer.JOBS` and its arguments after the world."""

    name: str
    round: int
    organism: int  # of the jobs of chunks the number of the chunk
    arguments: tuple[Any, ...]
    place: str | None = None  # key of the worker that shall do it (`runs.workers.placement`); None: any
    optional: bool = False  # whether it is tried once, and nothing depends on its answer

    @property
    def key(self) -> Key:
        """What identifies the job, whatever its attempt."""
        return self.name, self.round, self.organism

    def __str__(self) -> str:
        if self.organism < 0:  # an organism of calibration (`runs.training.calibration_jobs.INTERFACE`)
            return f"{self.name} of calibration"
        if self.name in (EMIT, EMIT_AGAIN, CONCEIVE, RESCORE):
            return f"{self.name} of chunk {self.organism}, round {self.round},"
        return f"{self.name} of organism {self.organism}, round {self.round},"


@dataclass(frozen=True, slots=True)
class Done:
    """A job's answer."""

    job: Job
    attempt: int
    report: Any
    payload: Handle
    genomes: Handle
    worker: str
    # When it was sent and answered, in seconds of the dispatcher's clock; None: of an attempt that was given up.
    sent: float | None = field(default=None, compare=False)
    answered: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Lost:
    """A job whose worker died, or ran out of memory or disk; another may do it."""

    job: Job
    attempt: int
    worker: str
    reason: str  # a clause: "its worker died"
    starved: bool = False  # whether for want of memory


@dataclass(frozen=True, slots=True)
class Starved:
    """A job that was lost as often as it may be, the last time for want of memory; less may be asked for."""

    job: Job
    error: str  # what is to be said where nothing is


@dataclass(frozen=True, slots=True)
class Failed:
    """A job that raised."""

    job: Job
    attempt: int
    worker: str
    error: str


@dataclass(frozen=True, slots=True)
class InputLost:
    """A job that could not begin, as its input was lost with a machine; or an optional one that has no answer."""

    job: Job
    attempt: int
    worker: str
    reason: str


JobEvent = Done | Lost | Failed | InputLost
