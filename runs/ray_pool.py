"""Trainers as Ray actors, on this machine or on a cluster. The only file that imports Ray.

Ray is asked for processes and a place to keep results, nothing else: it never restarts an actor or
repeats a task by itself. States, reports and genomes are separate task returns, which the driver owns;
objects that an actor put would die with it.
"""

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from runs import environment
from runs.errors import RunError
from runs.pools import Done, Event, Failed, Handle, Job, Lost, perform
from runs.world import World, WorldSpec, build

ANSWER_SECONDS = 5.0  # for a cluster's address to answer
# How an HTTP/2 connection, and so one to Ray, begins on both sides (RFC 9113, 3.4): with a SETTINGS frame.
_FRAME_HEADER, _SETTINGS = 9, b"\x04"  # bytes; the type of a frame, its fourth byte
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00" + _SETTINGS + b"\x00" * 5
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
        self._shipped = _connect(address, workers, modules)
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
        ray.shutdown()
        if self._shipped is not None:
            shutil.rmtree(self._shipped, ignore_errors=True)

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


def _connect(address: str, workers: int, modules: Sequence[str]) -> Path | None:
    """Join or start a cluster; give the folder of shipped code, if code had to be shipped."""
    settings: dict[str, Any] = {
        "logging_level": "ERROR",
        "log_to_driver": False,
        "configure_logging": False,
        "namespace": f"plasmodia-{os.getpid()}",
    }
    variables = dict(environment.VARIABLES)
    shipped: Path | None = None
    if address == "local":
        variables["PYTHONPATH"] = os.pathsep.join(path for path in [os.getcwd(), *sys.path] if path)
        settings |= {"num_cpus": workers, "include_dashboard": False}
        settings["runtime_env"] = {"env_vars": variables}
    else:
        _check_answers(address)
        shipped = _packed(modules)
        settings["runtime_env"] = {"env_vars": variables, "working_dir": str(shipped)}
    try:
        ray.init(address=address, **settings)
    except (ConnectionError, ImportError, RuntimeError, ValueError, OSError) as error:
        if shipped is not None:
            shutil.rmtree(shipped, ignore_errors=True)
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RunError(
            f"no Ray cluster at address {address!r} ({first}); start one or use --address local"
        ) from error
    return shipped


def _check_answers(address: str) -> None:
    """Ask for a first frame, because Ray itself waits minutes for an address that stays silent."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
        if address in ("", "auto", "local"):
            return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(_GREETING)
            answer = connection.recv(_FRAME_HEADER)
    except (OSError, ValueError) as error:
        raise RunError(
            f"no Ray cluster answers at address {address!r} ({error}); start one or use --address local"
        ) from error
    encrypted = os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")
    if answer[3:4] != _SETTINGS and not encrypted:
        raise RunError(
            f"what answers at address {address!r} is no Ray cluster; start one or use --address local"
        )


def _packed(modules: Sequence[str]) -> Path:
    """Copy the source of the six packages and of the user's modules to a folder that Ray ships."""
    folder = Path(tempfile.mkdtemp(prefix="plasmodia-code-"))
    for source in environment.sources(modules):
        if source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / source.name)
    return folder


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
