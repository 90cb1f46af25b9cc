"""Pools of workers: the interface that the dispatcher uses, a pool that is this process, and how a job is done.

A job is named and carries values or handles; a handle stands for bytes or genomes that stay where they are until they
are fetched or another job takes them. Retries and time-outs are the dispatcher's (`runs.workers.dispatch`).
"""

import errno
from collections.abc import Sequence
from typing import Any, Protocol

from runs.errors import RAISED, PlasmodiaError, RunError, told
from runs.machine.clock import Clock
from runs.training.build import build
from runs.training.world import World, WorldSpec
from runs.workers.jobs import Done, Exhausted, Failed, Handle, Job, JobEvent, Lost, OutOfMemory

SHORTAGES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class WorkerPool(Protocol):
    """Workers that do jobs, each at most one at a time. Their number may change."""

    @property
    def workers(self) -> Sequence[str]:
        """Names of the workers that can be sent jobs, busy ones too."""

    @property
    def idle(self) -> Sequence[str]:
        """Names of those that have nothing to do."""

    def configure(self, spec: WorldSpec) -> None:
        """Build a world in all workers, and in those that replace them later."""

    def submit(self, job: Job, attempt: int, worker: str) -> None:
        """Start a job on a worker.

        Parameters
        ----------
        job
            What to do.
        attempt
            How often it has been sent, this time included.
        worker
            Name of an idle worker.
        """

    def wait(self, seconds: float) -> list[JobEvent]:
        """Wait until something happens to a job under way, or a worker joins; return [] after `seconds`."""

    def replace(self, worker: str) -> None:
        """Stop a worker that does not answer, if that is possible, and start another."""

    def fetch(self, handle: Handle) -> Any:
        """Return what a handle stands for.

        Raises
        ------
        Gone
            If it was lost with its machine.
        """

    def close(self) -> None:
        """Stop all workers."""


class InlinePool:
    """One worker: this process. A job runs when it is waited for."""

    workers = ("inline",)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._world: World | None = None
        self._waiting: list[tuple[Job, int]] = []

    @property
    def idle(self) -> Sequence[str]:
        """Name of this process, if no job is waiting to be run."""
        return () if self._waiting else self.workers

    def configure(self, spec: WorldSpec) -> None:
        """Build the world here."""
        self._world = build(spec)

    def submit(self, job: Job, attempt: int, worker: str) -> None:
        """Keep a job until it is waited for.

        Parameters
        ----------
        job
            What to do.
        attempt
            How often it has been sent, this time included.
        worker
            Not used: there is one.
        """
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
        """Do nothing: `wait` returns only when the job is done, so this process is never late."""

    def fetch(self, handle: Handle) -> Any:
        """Return the handle, which is the value itself."""
        return handle

    def close(self) -> None:
        """Forget the world."""
        self._world = None


def unable(job: Job, attempt: int, worker: str, error: RunError) -> Lost | Failed:
    """Return what an error of `perform` means: a job is lost where memory or disk ran out, and failed otherwise.

    Parameters
    ----------
    job, attempt, worker
        What was done, and where.
    error
        What `perform` raised.
    """
    if isinstance(error, Exhausted):
        return Lost(job, attempt, worker, str(error), isinstance(error, OutOfMemory))
    return Failed(job, attempt, worker, str(error))


def perform(world: World, name: str, arguments: tuple[Any, ...], clock: Clock) -> Any:
    """Do a job in a world.

    Parameters
    ----------
    world
        Its first argument.
    name
        Of the function in `runs.trainer.JOBS`.
    arguments
        Its arguments after the world.
    clock
        Monotonic seconds, the last argument of those in `runs.trainer.TIMED`.

    Raises
    ------
    Exhausted
        If there is too little memory or disk; of memory it is `OutOfMemory`.
    RunError
        For whatever else the job raises, a user's ``sys.exit`` too, in one sentence.
    """
    from runs.trainer import JOBS, TIMED

    try:
        return JOBS[name](world, *arguments, *([clock] if name in TIMED else []))
    except PlasmodiaError as error:
        raise RunError(str(error)) from error
    except RAISED as error:
        if _is_shortage(error):
            short = OutOfMemory if _is_of_memory(error) else Exhausted
            raise short(f"its worker had too little memory or disk: {told(error)}") from error
        raise RunError(told(error)) from error


def _is_shortage(error: BaseException) -> bool:
    return _is_of_memory(error) or (isinstance(error, OSError) and error.errno in SHORTAGES)


def _is_of_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch raises a bare RuntimeError on the CPU, and one of its own on CUDA.
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY)
