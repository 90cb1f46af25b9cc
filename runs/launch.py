"""Launching and resuming: from a configuration to a finished run directory."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archive_store.chain import numbered, round_digest
from archive_store.encoding import decode
from archive_store.journal import BASE, Journal, Timing
from archive_store.run_directory import RunDirectory
from qd.canonical import canonical, plain
from runs import environment, tasks
from runs.calibration import Calibration, calibrate
from runs.config import Config, scientific, to_yaml
from runs.config import plain as plain_config
from runs.config_reader import read_config
from runs.dispatch import Dispatcher
from runs.driver import Driver, evidence, restore
from runs.errors import ConfigError, RunError
from runs.ledger import Closed, Ledger
from runs.pools import InlinePool, Job, Pool
from runs.progress import Progress
from runs.shared_calibration import borrowed
from runs.summary import SCORE_NAME, WALL
from runs.world import WorldSpec

FORMAT = 1  # of the journal's content; part of every digest
Reporter = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run needs of the outside world before anything is computed or written."""

    config: Config
    corpus: bytes | None
    data: str  # digest of the task
    score_name: str  # of the task
    fingerprint: Mapping[str, Any]
    modules: tuple[str, ...]  # of the user's import paths


def prepare(config: Config) -> Prepared:
    """Read the corpus, build the task once and take the fingerprint."""
    environment.prepare()
    modules = user_modules(config)
    corpus = tasks.corpus(config.task)
    task = tasks.load(config.task, corpus)
    return Prepared(config, corpus, task.digest, task.score_name, environment.fingerprint(modules, config.execution.device), modules)


def launch(config: Config, out: Path, report: Reporter | None = None) -> Path:
    """Run a configuration from calibration to its last round, into a new directory.

    Raises
    ------
    ConfigError
        If the directory exists or the configuration's files cannot be used; nothing was written.
    RunError
        If the run cannot start or go on. After round 0 the directory stays and can be resumed.
    """
    report = report or silent
    if out.exists():
        raise ConfigError(f"{out} exists already; choose another folder, or resume or remove it")
    prepared = prepare(config)
    with pool_of(prepared) as pool, started(prepared, out, pool, report) as run:
        run.driver(report).run()
        run.finish()
    return out


def resume(path: Path, execution: Mapping[str, Any], report: Reporter | None = None) -> Path:
    """Go on with a run that was cut off; a finished one is left as it is.

    Parameters
    ----------
    execution
        Keys of the ``execution:`` section that differ from now on.

    Raises
    ------
    RunError
        If the run's data or environment are not what they were, or it cannot go on.
    """
    report = report or silent
    directory = RunDirectory.open(path)
    config = changed(read_config(directory.config_path), execution)
    if directory.finished():
        return path
    prepared = prepare(config)
    check_environment(directory, prepared)
    directory.write_config(to_yaml(config))
    directory.blobs.remove_partial()
    with directory.journal(readonly=False) as journal:
        journal.verify_chain()
        calibration, spec = stored(directory, journal, prepared)
        run = Open(prepared, directory, journal, calibration, spec)
        restore(run.ledger, journal)
        run.incident("resume", None, f"after round {journal.last_round()}")
        if run.ledger.closed < config.rounds:
            with pool_of(prepared) as pool:
                run.attach(pool)
                pool.configure(spec)
                run.driver(report).run()
        run.finish()
    return path


class Open:
    """A run that is being written."""

    def __init__(
        self, prepared: Prepared, directory: RunDirectory, journal: Journal, calibration: Calibration, spec: WorldSpec
    ) -> None:
        self.config = prepared.config
        self.directory = directory
        self.journal = journal
        self.ledger = Ledger(prepared.config, calibration)
        self.spec = spec
        self._dispatcher: Dispatcher | None = None

    def attach(self, pool: Pool) -> None:
        """Let a pool do the work."""
        self._dispatcher = Dispatcher(pool, self.config.execution.attempts, self.incident, evidence)

    def driver(self, report: Reporter, closed: Callable[[Closed], None] = lambda closed: None) -> Driver:
        """Make the driver of this run."""
        assert self._dispatcher is not None, "a run is attached to a pool before it is driven"
        return Driver(
            self.config,
            self.ledger,
            self.directory,
            self.journal,
            self._dispatcher,
            report,
            closed,
            time.monotonic,
        )

    def incident(self, kind: str, job: Job | None, what: str) -> None:
        """Note something that no digest covers."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        round, organism = (None, None) if job is None else (job.round, job.organism)
        self.journal.incident(at, kind, {"what": what}, round=round, organism=organism)

    def finish(self) -> None:
        """End the run: leave write-ahead logging and write the manifest."""
        digest = self.journal.digest()
        self.journal.finish()
        self.directory.write_manifest(digest)


@contextmanager
def started(prepared: Prepared, out: Path, pool: Pool, report: Reporter) -> Iterator[Open]:
    """Calibrate (or borrow a calibration) and make the directory of a new run, round 0 journaled.

    The directory takes its name only when round 0 is in it, so that an interrupted start leaves nothing.
    """
    config = prepared.config
    begun = time.monotonic()
    spec = WorldSpec(plain_config(config), prepared.corpus)
    if config.calibration.from_run is None:
        dispatcher = Dispatcher(pool, config.execution.attempts, lambda kind, job, what: None, evidence)
        spec, calibration = calibrate(config, spec, dispatcher, lambda done: report(_calibrating(config, done)))
    else:
        spec, calibration = borrowed(Path(config.calibration.from_run), config, prepared.data, spec)
        pool.configure(spec)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        directory = RunDirectory.create(partial, to_yaml(config), described(prepared))
        _write_round_0(directory, prepared, calibration, spec, time.monotonic() - begun)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    directory = RunDirectory.open(out)
    with directory.journal(readonly=False) as journal:
        run = Open(prepared, directory, journal, calibration, spec)
        run.attach(pool)
        yield run


def stored(directory: RunDirectory, journal: Journal, prepared: Prepared) -> tuple[Calibration, WorldSpec]:
    """Read calibration, interface and hosts back, and check that the data are the run's.

    Raises
    ------
    RunError
        If the journal has no calibration, or configuration or data are not those of the run.
    """
    base = journal.meta(BASE)
    events = list(journal.events(0, "calibration"))
    if base is None or not events:
        raise RunError(f"{directory.path} has no calibration in its journal; launch it again")
    event = events[0].value
    now = base_text(prepared, event["centroids"])
    if now != base:
        raise RunError(f"{directory.path} cannot go on: {_what_differs(base, now)}")
    blobs = directory.blobs
    centroids = decode(blobs.get(event["centroids"]))[0]["centroids"]
    spec = WorldSpec(
        plain_config(prepared.config),
        prepared.corpus,
        blobs.get(event["interface"]),
        tuple(blobs.get(host) for host in event["hosts"]),
    )
    return Calibration.read(event, centroids), spec


def described(prepared: Prepared) -> dict[str, Any]:
    """Give what ``environment.json`` holds: the fingerprint, and whose code it was as far as git knows."""
    return {"fingerprint": plain(prepared.fingerprint), "revision": environment.revision()}


def base_text(prepared: Prepared, centroids: str) -> str:
    """Write what round 0 is chained to: format, configuration without execution, data and centroids."""
    return canonical(
        {"format": FORMAT, "config": scientific(prepared.config), "data": prepared.data, "centroids": centroids}
    )


def user_modules(config: Config) -> tuple[str, ...]:
    """Name the modules of the user's own task, family and measures."""
    paths = (config.task.name, config.organism.kind, *config.measures)
    return tuple(sorted({path.partition(":")[0] for path in paths if ":" in path}))


def changed(config: Config, execution: Mapping[str, Any]) -> Config:
    """Give the configuration with other values in its ``execution:`` section."""
    values = plain_config(config)
    values["execution"] |= execution
    return Config.model_validate(values)


@contextmanager
def pool_of(prepared: Prepared) -> Iterator[Pool]:
    """Start the pool that the configuration asks for, and let it go in the end."""
    execution = prepared.config.execution
    pool: Pool
    if execution.executor == "inline":
        pool = InlinePool(time.perf_counter)
    else:
        from runs.ray_pool import RayPool

        pool = RayPool(
            workers=workers(prepared.config),
            address=execution.address,
            num_gpus=execution.num_gpus,
            expected=prepared.fingerprint,
            modules=prepared.modules,
            device=execution.device,
            timeout=execution.order_timeout,
            clock=time.monotonic,
        )
    try:
        yield pool
    finally:
        pool.close()


def workers(config: Config) -> int:
    """Say how many trainers: as asked, or one for each core but no more than organisms."""
    asked = config.execution.workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, config.organism.count) if asked == "auto" else asked


def _write_round_0(
    directory: RunDirectory, prepared: Prepared, calibration: Calibration, spec: WorldSpec, seconds: float
) -> None:
    assert spec.interface is not None
    event = calibration.event(spec)
    directory.blobs.put_all([spec.interface, *spec.hosts, calibration.encoded_centroids()])
    with Journal.create(directory.journal_path) as journal:
        base = base_text(prepared, event["centroids"])
        journal.put_meta(BASE, base)
        journal.put_meta(SCORE_NAME, prepared.score_name)
        events = numbered(0, [("calibration", event)])
        timing = Timing(organism=None, name=WALL, seconds=seconds, worker="driver")
        journal.write_round(0, events, {}, [timing], round_digest(base, events))


def check_environment(directory: RunDirectory, prepared: Prepared) -> None:
    different = environment.differences(directory.environment()["fingerprint"], plain(prepared.fingerprint))
    if different:
        raise RunError(
            f"{directory.path} was made in another environment ({'; '.join(different)}); "
            "its bits cannot be continued here"
        )


def _what_differs(base: str, now: str) -> str:
    import json

    different = environment.differences(json.loads(base), json.loads(now))
    return f"not what the run was launched with: {'; '.join(different)}"


def _calibrating(config: Config, done: float) -> Progress:
    return Progress("calibration", 0, config.rounds, 0.0, 0.0, config.annealing.start, 0, 0, done)


def silent(progress: Progress) -> None:
    pass


