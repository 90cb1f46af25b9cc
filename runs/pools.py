"""Pools of trainers: where jobs run. The driver sees `Pool` alone and owns retries and time.

A job is named and carries values or handles; a handle stands for bytes or genomes that stay where they
are until somebody fetches them or another job takes them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from runs.errors import RAISED, PlasmodiaError, RunError, told
from runs.world import World, WorldSpec, build

Handle = Any
Key = tuple[str, int, int]  # (name, round, organism): what a job answers for


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work: a function of `runs.trainer.JOBS` and its arguments after the world."""

    name: str
    round: int
    organism: int
    arguments: tuple[Any, ...]

    @property
    def key(self) -> Key:
        """What the job answers for."""
        return self.name, self.round, self.organism

    def __str__(self) -> str:
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


@dataclass(frozen=True, slots=True)
class Lost:
    """A job whose worker died or did not answer in time; it can be sent again."""

    job: Job
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A job that raised; sending it again would raise again."""

    job: Job
    attempt: int
    error: str


Event = Done | Lost | Failed


class Pool(Protocol):
    """Workers that do jobs, each at most one at a time."""

    @property
    def idle(self) -> int:
        """How many workers have nothing to do."""

    def configure(self, spec: WorldSpec) -> None:
        """Give all workers, later replacements too, a world to work in."""

    def submit(self, job: Job, attempt: int) -> None:
        """Start a job on an idle worker."""

    def wait(self) -> list[Event]:
        """Wait until something happens to a job under way."""

    def fetch(self, handle: Handle) -> Any:
        """Bring what a handle stands for."""

    def close(self) -> None:
        """Let all workers go."""


class InlinePool:
    """One worker: this process. A job runs when it is waited for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._world: World | None = None
        self._waiting: list[tuple[Job, int]] = []

    @property
    def idle(self) -> int:
        """1 if no job is waiting to be run."""
        return 1 - len(self._waiting)

    def configure(self, spec: WorldSpec) -> None:
        """Build the world here."""
        self._world = build(spec)

    def submit(self, job: Job, attempt: int) -> None:
        """Keep the job until it is waited for."""
        self._waiting.append((job, attempt))

    def wait(self) -> list[Event]:
        """Run the job."""
        job, attempt = self._waiting.pop()
        assert self._world is not None, "a pool is configured before it is sent work"
        try:
            report, payload, genomes = perform(self._world, job.name, job.arguments, self._clock)
        except RunError as error:
            return [Failed(job, attempt, str(error))]
        return [Done(job, attempt, report, payload, genomes, "inline")]

    def fetch(self, handle: Handle) -> Any:
        """Give the value itself."""
        return handle

    def close(self) -> None:
        """Forget the world."""
        self._world = None


def perform(world: World, name: str, arguments: tuple[Any, ...], clock: Callable[[], float]) -> Any:
    """Do a job in a world; only timed jobs see the clock.

    Raises
    ------
    RunError
        For whatever the job raises, a user's ``sys.exit`` too: in one sentence, wherever it runs.
    """
    from runs.trainer import JOBS, TIMED

    try:
        return JOBS[name](world, *arguments, *([clock] if name in TIMED else []))
    except PlasmodiaError as error:
        raise RunError(str(error)) from error
    except RAISED as error:
        raise RunError(told(error)) from error
