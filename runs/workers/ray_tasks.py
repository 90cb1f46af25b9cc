"""Whole tasks in Ray actors on this machine, one core each, begun as soon as one is free."""

import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from runs.errors import RunError
from runs.machine import settings
from runs.workers.ray_cluster import connect
from runs.workers.tasks import Outcome, Work, attempt

PATIENCE_SECONDS = 120.0  # for an actor to start


class Performer:
    """An actor: a process in which one task after another is done."""

    def __init__(self) -> None:
        settings.prepare()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])  # Ray's processes are started without it

    def process(self) -> int:
        """Return the number of the process."""
        return os.getpid()

    def perform(self, work: Work, *arguments: Any) -> tuple[int, str]:
        """Do a task and return what came of it."""
        return attempt(work, arguments)


@dataclass(slots=True, eq=False)
class _Worker:
    actor: Any
    process: int
    task: str = ""
    answer: Any = None  # a reference; None: it has nothing to do


class RayTasks:
    """Actors on this machine, each with at most one task; one that dies is replaced, and its task is lost.

    Parameters
    ----------
    workers
        Number of actors, with a core and `num_gpus` each.
    num_gpus
        GPUs of each; may be a fraction.
    """

    def __init__(self, workers: int, num_gpus: float = 0.0) -> None:
        self._options = {"num_cpus": 1, "num_gpus": num_gpus, "max_restarts": 0, "max_task_retries": 0}
        self._connection = connect("local", workers, ())
        self._workers: list[_Worker] = []
        self._stopping = False
        try:
            self._workers += self._started(workers)
        except BaseException:
            self.close()
            raise

    @property
    def free(self) -> int:
        """How many actors have nothing to do."""
        return sum(worker.answer is None for worker in self._workers)

    @property
    def busy(self) -> Sequence[str]:
        """Names of the tasks under way."""
        return [worker.task for worker in self._workers if worker.answer is not None]

    def submit(self, name: str, work: Work, *arguments: Any) -> None:
        """Begin a task on a free actor.

        Parameters
        ----------
        name
            Of the task.
        work, arguments
            A function of a module, and values for it.
        """
        worker = next(worker for worker in self._workers if worker.answer is None)
        worker.task, worker.answer = name, worker.actor.perform.remote(work, *arguments)

    def wait(self, seconds: float) -> list[Outcome]:
        """Wait until tasks end; return [] after `seconds`."""
        waited = {worker.answer: worker for worker in self._workers if worker.answer is not None}
        if not waited:
            return []
        try:
            ready, _ = ray.wait(list(waited), num_returns=1, timeout=seconds)
        except (RayError, ConnectionError) as error:
            raise RunError(
                f"Ray does not answer any more ({type(error).__name__}); go on with the experiment by the same command"
            ) from error
        return [self._outcome(waited[reference]) for reference in ready]

    def ask_to_stop(self) -> None:
        """Send the processes with a task the signal that asks a run to stop; from now on none is replaced."""
        self._stopping = True
        for worker in self._workers:
            if worker.answer is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process, signal.SIGTERM)

    def close(self) -> None:
        """End the cluster."""
        self._connection.close()

    def _outcome(self, worker: _Worker) -> Outcome:
        name, answer = worker.task, worker.answer
        worker.task, worker.answer = "", None
        try:
            return Outcome(name, *ray.get(answer))
        except RayError as error:
            with contextlib.suppress(RayError):
                ray.kill(worker.actor)
            self._workers.remove(worker)
            self._workers += [] if self._stopping else self._started(1)
            return Outcome(
                name, RunError.exit_status, f"its process died ({type(error).__name__})", lost=True
            )

    def _started(self, count: int) -> list[_Worker]:
        actors = [ray.remote(Performer).options(**self._options).remote() for _ in range(count)]
        try:
            processes = ray.get([actor.process.remote() for actor in actors], timeout=PATIENCE_SECONDS)
        except GetTimeoutError as error:
            raise RunError(
                f"workers did not start within {PATIENCE_SECONDS:g} s; are there enough free CPUs and GPUs?"
            ) from error
        except RayError as error:
            raise RunError(f"a worker could not start ({type(error).__name__})") from error
        return [_Worker(actor, process) for actor, process in zip(actors, processes, strict=True)]
