"""Pools of trainers: where jobs run. The driver sees `WorkerPool` alone and owns retries and time.

A job is named and carries values or handles; a handle stands for bytes or genomes that stay where they
are until somebody fetches them or another job takes them.
"""

import errno
from collections.abc import Sequence
from typing import Any, Protocol

from runs.errors import RAISED, PlasmodiaError, RunError, told
from runs.machine.clock import Clock
from runs.training.build import build
from runs.training.world import World, WorldSpec
from runs.workers.jobs import Done, Exhausted, Failed, Handle, Job, JobEvent, Lost

SHORTAGES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class WorkerPool(Protocol):
    """Workers that do jobs, each at most one at a time. They may become fewer and more."""

    @property
    def workers(self) -> Sequence[str]:
        """Names of the workers that can be sent jobs, busy ones too."""

    @property
    def idle(self) -> Sequence[str]:
        """Names of those that have nothing to do."""

    def configure(self, spec: WorldSpec) -> None:
        """Give all workers, later replacements too, a world to work in."""

    def submit(self, job: Job, attempt: int, worker: str) -> None:
        """Start a job on an idle worker."""

    def wait(self, seconds: float) -> list[JobEvent]:
        """Wait until something happens to a job under way, or a worker comes; give [] after `seconds`."""

    def replace(self, worker: str) -> None:
        """Give up on a worker that does not answer: end it if that is possible, and start another."""

    def fetch(self, handle: Handle) -> Any:
        """Bring what a handle stands for.

        Raises
        ------
        Gone
            If it was lost with its machine.
        """

    def close(self) -> None:
        """Let all workers go."""


class InlinePool:
    """One worker: this process. A job runs when it is waited for."""

    workers = ("inline",)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._world: World | None = None
        self._waiting: list[tuple[Job, int]] = []

    @property
    def idle(self) -> Sequence[str]:
        """Give this process, if no job is waiting to be run."""
        return () if self._waiting else self.workers

    def configure(self, spec: WorldSpec) -> None:
        """Build the world here."""
        self._world = build(spec)

    def submit(self, job: Job, attempt: int, worker: str) -> None:
        """Keep the job until it is waited for."""
        self._waiting.append((job, attempt))

    def wait(self, seconds: float) -> list[JobEvent]:
        """Run the job, however long it takes."""
        if not self._waiting:
            return []
        job, attempt = self._waiting.pop()
        assert self._world is not None, "a pool is configured before it is sent work"
        try:
            report, payload, genomes = perform(self._world, job.name, job.arguments, self._clock)
        except RunError as error:
            return [unable(job, attempt, "inline", error)]
        return [Done(job, attempt, report, payload, genomes, "inline")]

    def replace(self, worker: str) -> None:
        """Do nothing: this process has answered whenever it can be asked to."""

    def fetch(self, handle: Handle) -> Any:
        """Give the value itself."""
        return handle

    def close(self) -> None:
        """Forget the world."""
        self._world = None


def unable(job: Job, attempt: int, worker: str, error: RunError) -> Lost | Failed:
    """Say what an error of `perform` means: a machine that has too little is no verdict on the job."""
    if isinstance(error, Exhausted):
        return Lost(job, attempt, worker, str(error))
    return Failed(job, attempt, worker, str(error))


def perform(world: World, name: str, arguments: tuple[Any, ...], clock: Clock) -> Any:
    """Do a job in a world; only timed jobs see the clock.

    Raises
    ------
    Exhausted
        If there is too little memory or disk.
    RunError
        For whatever else the job raises, a user's ``sys.exit`` too: in one sentence, wherever it runs.
    """
    from runs.trainer import JOBS, TIMED

    try:
        return JOBS[name](world, *arguments, *([clock] if name in TIMED else []))
    except PlasmodiaError as error:
        raise RunError(str(error)) from error
    except RAISED as error:
        if _is_shortage(error):
            raise Exhausted(f"its worker had too little memory or disk: {told(error)}") from error
        raise RunError(told(error)) from error


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in SHORTAGES
    # torch raises a bare RuntimeError on the CPU, and one of its own on CUDA.
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY)
