"""A pool whose workers are Ray actors, on this machine or on a cluster.

Ray starts processes and keeps results, nothing else: it never restarts an actor or repeats a task by itself. States,
reports and genomes are separate task returns, which the driver owns; objects that an actor put would be lost with it.
"""

import contextlib
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, ObjectLostError, OutOfMemoryError, RayError, RayTaskError

from runs.errors import RunError
from runs.machine import fingerprint, settings
from runs.machine.clock import Clock
from runs.training.build import build
from runs.training.world import World, WorldSpec
from runs.workers.jobs import Done, Failed, Gone, Handle, InputLost, Job, JobEvent, Lost
from runs.workers.pool import perform, unable
from runs.workers.ray_cluster import connect

PATIENCE_SECONDS = 120.0  # for an actor to start


class Trainer:
    """An actor: a world and the jobs done in it."""

    def __init__(self) -> None:
        settings.prepare()
        self._world: World | None = None

    def begin(
        self, modules: Sequence[str], device: str, spec: WorldSpec | None
    ) -> tuple[str, dict[str, Any]]:
        """Build the world, if there is one already, and return host name and fingerprint.

        Parameters
        ----------
        modules
            Modules of the user's import paths, which the fingerprint covers.
        device
            ``cpu`` or ``cuda``: what the fingerprint is taken of.
        spec
            The world; None: there is none yet.
        """
        if spec is not None:
            self._world = build(spec)
        return socket.gethostname(), fingerprint.fingerprint(modules, device)

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


@dataclass(slots=True, eq=False)
class _Worker:
    actor: Any
    greeting: Any  # reference to what `begin` returns; None once it has been looked at
    errand: _Errand | None = None


class RayPool:
    """Actors, each with at most one job; one that dies or does not answer is replaced when the cluster has room.

    Parameters
    ----------
    workers
        Number of actors, with ``num_cpus=1`` and `num_gpus` each. All must start; while later fewer fit into
        the cluster, because a node was lost, fewer do the work.
    address
        ``local`` starts a cluster of our own; ``auto``, ``ray://host:port`` or ``host:port`` join one.
    expected
        The driver's fingerprint; a worker with another one is refused by its host's name.
    modules
        Modules of the user's import paths, shipped to other machines with the six packages.
    device
        ``cpu`` or ``cuda``: what the fingerprint is taken of.
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
        clock: Clock,
    ) -> None:
        self._expected = expected
        self._introduction = (tuple(modules), device)
        self._clock = clock
        self._options = {"num_cpus": 1, "num_gpus": num_gpus, "max_restarts": 0, "max_task_retries": 0}
        self._spec: Any = None
        self._connection = connect(address, workers, modules)
        self._born = 0
        self._workers: dict[str, _Worker] = {}
        self._alone_since: float | None = None  # since when no worker has been there
        try:
            for _ in range(workers):
                self._start()
            _all([worker.greeting for worker in self._workers.values()])
            for name in list(self._workers):
                self._welcome(name)
        except BaseException:
            self.close()
            raise

    @property
    def workers(self) -> Sequence[str]:
        """Names of the actors that have started."""
        return [name for name, worker in self._workers.items() if worker.greeting is None]

    @property
    def idle(self) -> Sequence[str]:
        """Names of those without a job."""
        return [name for name in self.workers if self._workers[name].errand is None]

    def configure(self, spec: WorldSpec) -> None:
        """Build a world in all actors, and keep it for those that replace them.

        One that is still starting is not waited for: an actor runs its calls in order.
        """
        self._spec = ray.put(spec)
        started = self.workers
        answers = {name: worker.actor.configure.remote(self._spec) for name, worker in self._workers.items()}
        for name in started:
            try:
                _all([answers[name]])
            except _Died:
                self.replace(name)

    def submit(self, job: Job, attempt: int, worker: str) -> None:
        """Start a job on an actor.

        Parameters
        ----------
        job
            What to do.
        attempt
            How often it has been sent, this time included.
        worker
            Name of an idle actor.
        """
        method = self._workers[worker].actor.run.options(num_returns=3)
        self._workers[worker].errand = _Errand(job, attempt, method.remote(job.name, *job.arguments))

    def wait(self, seconds: float) -> list[JobEvent]:
        """Wait for the first answer, death or new actor; return [] after `seconds`."""
        self._check_company()
        waited = {
            worker.greeting if worker.errand is None else worker.errand.returns[0]: name
            for name, worker in self._workers.items()
            if worker.greeting is not None or worker.errand is not None
        }
        if not waited:
            return []
        try:
            ready, silent = ray.wait(list(waited), num_returns=1, timeout=seconds)
            if silent and ready:
                ready += ray.wait(silent, num_returns=len(silent), timeout=0)[0]
        except (RayError, ConnectionError) as error:
            raise RunError(
                f"Ray's cluster does not answer any more ({type(error).__name__}); resume the run on another"
            ) from error
        events = [self._look(waited[reference]) for reference in ready]
        return [event for event in events if event is not None]

    def replace(self, worker: str) -> None:
        """End an actor and start another, which can be sent jobs when its fingerprint was checked."""
        with contextlib.suppress(RayError):
            ray.kill(self._workers.pop(worker).actor)
        self._start()

    def fetch(self, handle: Handle) -> Any:
        """Return the payload or the genomes that a reference stands for."""
        try:
            return ray.get(handle)
        except RayError as error:
            raise Gone(f"a result was lost with its machine ({type(error).__name__})") from error

    def close(self) -> None:
        """Leave the cluster; one of our own is shut down."""
        self._connection.close()

    def _look(self, name: str) -> JobEvent | None:
        """Take the answer of a job, or check a new actor."""
        if self._workers[name].greeting is None:
            return self._answer(name)
        try:
            self._welcome(name)
        except _Died:  # again, as when it starts on a node that is about to go
            self.replace(name)
        return None

    def _answer(self, name: str) -> JobEvent:
        errand = self._workers[name].errand
        assert errand is not None, "only a worker with a job is waited for"
        job, attempt = errand.job, errand.attempt
        try:
            report = ray.get(errand.returns[0])
        except ObjectLostError as error:  # before RayTaskError, which it can be as well
            self._workers[name].errand = None
            return InputLost(
                job, attempt, name, f"its input was lost with its machine ({type(error).__name__})"
            )
        except RayTaskError as error:
            self._workers[name].errand = None
            return Failed(job, attempt, name, _last_line(error))
        except RayError as error:
            self.replace(name)
            starved = isinstance(error, OutOfMemoryError)
            return Lost(job, attempt, name, f"its worker died ({type(error).__name__})", starved)
        self._workers[name].errand = None
        if isinstance(report, RunError):
            return unable(job, attempt, name, report)
        return Done(job, attempt, report, *errand.returns[1:], name)

    def _start(self) -> None:
        actor = ray.remote(Trainer).options(**self._options).remote()
        greeting = actor.begin.remote(*self._introduction, self._spec)
        self._workers[f"trainer-{self._born}"] = _Worker(actor, greeting)
        self._born += 1

    def _welcome(self, name: str) -> None:
        """Accept a new actor, if its fingerprint is the driver's."""
        worker = self._workers[name]
        [(host, found)] = _all([worker.greeting])
        different = fingerprint.differences(self._expected, found)
        if different:
            raise RunError(
                f"host {host} computes otherwise than the driver and is refused, as bits would depend on "
                f"who does what: {'; '.join(different)}"
            )
        worker.greeting = None

    def _check_company(self) -> None:
        """Stop the run when there has been no worker for `PATIENCE_SECONDS`."""
        if self.workers:
            self._alone_since = None
            return
        now = self._clock()
        self._alone_since = now if self._alone_since is None else self._alone_since
        if now - self._alone_since > PATIENCE_SECONDS:
            raise RunError(
                f"all workers are lost, and none could be started for {PATIENCE_SECONDS:g} s; "
                "resume the run when there are free CPUs and GPUs in the cluster"
            )


class _Died(RunError):
    """An actor died before it did anything."""


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
        raise _Died(f"a trainer died while it started ({type(error).__name__}); see Ray's logs") from error


def _last_line(error: RayTaskError) -> str:
    """Return the sentence of what a task raised, without its traceback."""
    lines = str(error.cause or error).strip().splitlines()
    return lines[-1] if lines else type(error.cause or error).__name__
