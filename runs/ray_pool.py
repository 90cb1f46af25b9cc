"""Trainers as Ray actors, on this machine or on a cluster.

Ray is asked for processes and a place to keep results, nothing else: it never restarts an actor or
repeats a task by itself. States, reports and genomes are separate task returns, which the driver owns;
objects that an actor put would die with it.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from runs import environment
from runs.errors import RunError
from runs.pools import Done, Event, Failed, Handle, Job, Lost, perform
from runs.ray_cluster import connect
from runs.world import World, WorldSpec, build

PATIENCE_SECONDS = 120.0  # for an actor to start


class Trainer:
    """An actor: a world and the jobs done in it."""

    def __init__(self) -> None:
        environment.prepare()
        self._world: World | None = None

    def introduce(self, modules: Sequence[str], device: str) -> tuple[str, dict[str, Any]]:
        """Give host name and fingerprint."""
        return socket.gethostname(), environment.fingerprint(modules, device)

    def configure(self, spec: WorldSpec) -> None:
        """Build the world."""
        self._world = build(spec)

    def run(self, name: str, *arguments: Any) -> Any:
        """Do one job."""
        assert self._world is not None, "an actor is configured before it is sent work"
        try:
            return perform(self._world, name, arguments, time.perf_counter)
        except RunError as error:
            return error, None, None


@dataclass(frozen=True, slots=True)
class _Errand:
    job: Job
    attempt: int
    returns: tuple[Any, Any, Any]  # references to report, payload and genomes
    started: float


@dataclass(slots=True, eq=False)
class _Worker:
    name: str
    actor: Any
    errand: _Errand | None = None


class RayPool:
    """A fixed number of actors, each with at most one job; one that dies or hangs is replaced.

    Parameters
    ----------
    workers
        Number of actors, with ``num_cpus=1`` and `num_gpus` each.
    address
        ``local`` starts a cluster of our own; ``auto``, ``ray://host:port`` or ``host:port`` join one.
    expected
        The driver's fingerprint; a worker with another one is refused by its host's name.
    modules
        Modules of the user's import paths, shipped to other machines with the six packages.
    device
        ``cpu`` or ``cuda``: what the fingerprint is taken of.
    timeout
        Seconds after which a job counts as lost.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        workers: int,
        address: str,
        num_gpus: float,
        expected: Mapping[str, Any],
        modules: Sequence[str],
        device: str,
        timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._expected = expected
        self._introduction = (tuple(modules), device)
        self._timeout = timeout
        self._clock = clock
        self._options = {"num_cpus": 1, "num_gpus": num_gpus, "max_restarts": 0, "max_task_retries": 0}
        self._spec: Any = None
        self._connection = connect(address, workers, modules)
        self._born = 0
        try:
            self._workers = self._start(workers)
        except BaseException:
            self.close()
            raise

    @property
    def idle(self) -> int:
        """Number of actors without a job."""
        return sum(worker.errand is None for worker in self._workers)

    def configure(self, spec: WorldSpec) -> None:
        """Give all actors a world, and remember it for those that replace them."""
        self._spec = ray.put(spec)
        _all([worker.actor.configure.remote(self._spec) for worker in self._workers])

    def submit(self, job: Job, attempt: int) -> None:
        """Start a job on the first idle actor."""
        worker = next(worker for worker in self._workers if worker.errand is None)
        returns = worker.actor.run.options(num_returns=3).remote(job.name, *job.arguments)
        worker.errand = _Errand(job, attempt, returns, self._clock())

    def wait(self) -> list[Event]:
        """Wait for the first answer, death or timeout."""
        while True:
            at_work = {worker.errand.returns[0]: worker for worker in self._workers if worker.errand}
            answered, silent = ray.wait(list(at_work), num_returns=1, timeout=1.0)
            if silent:
                more, silent = ray.wait(silent, num_returns=len(silent), timeout=0)
                answered += more
            now = self._clock()  # replacing a worker takes seconds, for which the others are not to blame
            late = [at_work[reference] for reference in silent if self._is_late(at_work[reference], now)]
            events = [self._answer(at_work[reference]) for reference in answered]
            events += [self._lose(worker, f"it gave no answer for {self._timeout:g} s") for worker in late]
            if events:
                return events

    def fetch(self, handle: Handle) -> Any:
        """Bring a payload or genomes to this process."""
        try:
            return ray.get(handle)
        except RayError as error:
            raise RunError(
                f"a result was lost with its machine ({type(error).__name__}); resume the run"
            ) from error

    def close(self) -> None:
        """Leave the cluster; one of our own ends with it."""
        self._connection.close()

    def _is_late(self, worker: _Worker, now: float) -> bool:
        return worker.errand is not None and now - worker.errand.started > self._timeout

    def _answer(self, worker: _Worker) -> Event:
        errand = worker.errand
        assert errand is not None
        try:
            report = ray.get(errand.returns[0])
        except RayTaskError as error:
            worker.errand = None
            return Failed(errand.job, errand.attempt, _last_line(error))
        except RayError as error:
            return self._lose(worker, f"its worker died ({type(error).__name__})")
        worker.errand = None
        if isinstance(report, RunError):
            return Failed(errand.job, errand.attempt, str(report))
        return Done(errand.job, errand.attempt, report, *errand.returns[1:], worker.name)

    def _lose(self, worker: _Worker, reason: str) -> Lost:
        errand = worker.errand
        assert errand is not None
        with contextlib.suppress(RayError):
            ray.kill(worker.actor)
        self._workers[self._workers.index(worker)] = self._start(1)[0]
        return Lost(errand.job, errand.attempt, reason)

    def _start(self, number: int) -> list[_Worker]:
        remote = ray.remote(Trainer).options(**self._options)
        workers = [_Worker(f"trainer-{self._born + index}", remote.remote()) for index in range(number)]
        self._born += number
        for host, fingerprint in _all(
            [worker.actor.introduce.remote(*self._introduction) for worker in workers]
        ):
            different = environment.differences(self._expected, fingerprint)
            if different:
                raise RunError(
                    f"host {host} computes otherwise than the driver and is refused, as bits would depend on "
                    f"who does what: {'; '.join(different)}"
                )
        if self._spec is not None:
            _all([worker.actor.configure.remote(self._spec) for worker in workers])
        return workers


def _all(references: list[Any]) -> list[Any]:
    try:
        return ray.get(references, timeout=PATIENCE_SECONDS)
    except RayTaskError as error:
        raise RunError(f"a trainer could not start: {_last_line(error)}") from error
    except GetTimeoutError as error:
        raise RunError(
            f"trainers did not start within {PATIENCE_SECONDS:g} s; "
            "are there enough free CPUs and GPUs in the cluster?"
        ) from error
    except RayError as error:
        raise RunError(f"a trainer died while it started ({type(error).__name__}); see Ray's logs") from error


def _last_line(error: RayTaskError) -> str:
    """Give the sentence of what a task raised, without its traceback."""
    lines = str(error.cause or error).strip().splitlines()
    return lines[-1] if lines else type(error.cause or error).__name__
