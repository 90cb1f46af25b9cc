"""Launching and resuming: from a configuration to a finished run directory."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archive_store import durable
from archive_store.chain import numbered, round_digest
from archive_store.encoding import decode
from archive_store.errors import WriteError
from archive_store.journal import BASE, Journal, Timing
from archive_store.run_directory import RunDirectory
from runs import environment
from runs.calibration import Calibration, calibrate
from runs.config import Config, to_yaml
from runs.config import plain as plain_config
from runs.config_reader import read_config
from runs.dispatch import Dispatcher
from runs.driver import Driver, evidence, forget_old_states, restore
from runs.errors import ConfigError, RunError
from runs.ledger import Closed, Ledger
from runs.pools import Job, Pool
from runs.prepared import Prepared, base_text, changed, check_environment, described, pool_of, prepare
from runs.progress import Progress
from runs.shared_calibration import borrowed
from runs.summary import SCORE_NAME, WALL
from runs.world import WorldSpec

Reporter = Callable[[Progress], None]


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
    _check_place(out)
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
        durable.sync_directory(path)  # whoever wrote the manifest may have been stopped before this
        return path
    prepared = prepare(config)
    check_environment(directory, prepared)
    carry_on(directory, prepared, pool_of(prepared), report)
    return path


def carry_on(
    directory: RunDirectory, prepared: Prepared, pool: AbstractContextManager[Pool], report: Reporter
) -> None:
    """Go on with an unfinished run; the pool is only started if there is a round left to compute."""
    with directory.journal(readonly=False) as journal:
        journal.verify_chain()
        calibration, spec = stored(directory, journal, prepared)
        run = Open(prepared, directory, journal, calibration, spec)
        restore(run.ledger, journal)
        directory.recover()
        directory.write_config(to_yaml(prepared.config))
        run.incident("resume", None, f"after round {journal.last_round()}")
        forget_old_states(journal, directory.blobs)
        if run.ledger.closed < prepared.config.rounds:
            with pool as workers:
                run.attach(workers)
                workers.configure(spec)
                run.driver(report).run()
        run.finish()


class Open:
    """A run that is being written."""

    def __init__(
        self,
        prepared: Prepared,
        directory: RunDirectory,
        journal: Journal,
        calibration: Calibration,
        spec: WorldSpec,
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
    spec = WorldSpec(plain_config(config), prepared.corpus, prepared.data)
    if config.calibration.from_run is None:
        dispatcher = Dispatcher(pool, config.execution.attempts, lambda kind, job, what: None, evidence)
        spec, calibration = calibrate(
            config, spec, dispatcher, lambda done: report(_calibrating(config, done))
        )
    else:
        spec, calibration = borrowed(Path(config.calibration.from_run), config, prepared.data, spec)
        pool.configure(spec)
    with placed(out) as partial:
        directory = RunDirectory.create(partial, to_yaml(config), described(prepared))
        write_round_0(directory, prepared, calibration, spec, time.monotonic() - begun)
    directory = RunDirectory.open(out)
    with directory.journal(readonly=False) as journal:
        run = Open(prepared, directory, journal, calibration, spec)
        run.attach(pool)
        yield run


@contextmanager
def placed(out: Path) -> Iterator[Path]:
    """Give a folder to write to, which takes its name in the end or, on an error, leaves nothing.

    Raises
    ------
    ConfigError
        If something of that name has come to be there.
    RunError
        If the disk is full or fails.
    """
    partial = out.with_name(f".{out.name}.{os.getpid()}{durable.PARTIAL}")
    # A killed process may have had the same number: in a container it is the rule.
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        _take_name(partial, out)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, WriteError) and not out.exists():
            raise RunError(f"{out} cannot be written: {error.reason}; nothing was left there") from error
        raise


def _check_place(out: Path) -> None:
    """Find out before anything is computed whether a run can be written there, and leave no trace."""
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out} exists already; choose another folder, or resume or remove it")
    there = next(folder for folder in out.absolute().parents if folder.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=there):
            pass
    except OSError as error:
        raise ConfigError(
            f"a run cannot be written to {out}: {error.strerror}; choose another folder"
        ) from None


def _take_name(partial: Path, out: Path) -> None:
    try:
        durable.rename(partial, out)
    except WriteError:
        if partial.exists() and os.path.lexists(out):
            message = f"{out} exists already: another launch was faster; choose another folder"
            raise ConfigError(message) from None
        raise


def stored(directory: RunDirectory, journal: Journal, prepared: Prepared) -> tuple[Calibration, WorldSpec]:
    """Read calibration, interface and hosts back.

    Raises
    ------
    RunError
        As `calibrated`.
    """
    event, blobs = calibrated(directory, journal, prepared), directory.blobs
    centroids = decode(blobs.get(event["centroids"]))[0]["centroids"]
    spec = WorldSpec(
        plain_config(prepared.config),
        prepared.corpus,
        prepared.data,
        blobs.get(event["interface"]),
        tuple(blobs.get(host) for host in event["hosts"]),
    )
    return Calibration.read(event, centroids), spec


def calibrated(directory: RunDirectory, journal: Journal, prepared: Prepared) -> Mapping[str, Any]:
    """Give what the journal says of calibration, and check that configuration and data are the run's.

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
    different = environment.differences(json.loads(base), json.loads(base_text(prepared, event["centroids"])))
    if different:
        raise RunError(f"{directory.path} was launched with other settings or data: {'; '.join(different)}")
    return event


def write_round_0(
    directory: RunDirectory, prepared: Prepared, calibration: Calibration, spec: WorldSpec, seconds: float
) -> None:
    """Store what calibration found, and journal it."""
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


def _calibrating(config: Config, done: float) -> Progress:
    return Progress("calibration", 0, config.rounds, 0.0, 0.0, config.annealing.start, 0, 0, done)


def silent(progress: Progress) -> None:
    """Report nothing."""
