"""Launching and resuming: from a configuration to a finished run directory."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archive_store import durable
from archive_store.encoding import decode_centroids
from archive_store.errors import WriteError
from archive_store.journal.chain import numbered, round_digest
from archive_store.journal.journal import BASE, Journal, Timing
from archive_store.lock import check_free, held
from archive_store.run_directory import RunDirectory
from runs.calibration.borrow import borrowed
from runs.calibration.calibrate import Calibration, calibrate
from runs.config.reader import read_config
from runs.config.schema import Config, to_yaml
from runs.config.schema import plain as plain_config
from runs.driver import Conditions, Driver, evidence, restore
from runs.errors import ConfigError, RunError
from runs.machine import settings
from runs.machine.interruption import listening
from runs.machine.migration import last_move, moved_to
from runs.observability.progress import Progress
from runs.prepared import Prepared, base_text, changed, check_format, described, pool_of, prepare
from runs.readable import readable
from runs.results.summary import SCORE_NAME, WALL
from runs.rounds.commit import forget_old_states
from runs.rounds.ledger import Ledger
from runs.training.world import WorldSpec
from runs.workers.dispatch import Clock, Dispatcher, Incident
from runs.workers.pool import Job, Pool

Reporter = Callable[[Progress], None]


def launch(config: Config, out: Path, report: Reporter | None = None) -> Path:
    """Run a configuration from calibration to its last round, into a new directory.

    Raises
    ------
    ConfigError
        If the directory exists or the configuration's files cannot be used; nothing was written.
    RunError
        If the run cannot start or go on. After round 0 the directory stays and can be resumed.
    Stopped
        If SIGINT or SIGTERM asked it to stop after round 0.
    """
    report = report or silent
    _check_place(out)
    prepared = prepare(config)
    with (
        listening() as stop,
        pool_of(prepared) as pool,
        started(prepared, out, pool, report) as run,
    ):
        run.driver(Conditions(time.monotonic, report, stop=stop.patiently)).run()
        run.finish()
    return out


def resume(
    path: Path,
    execution: Mapping[str, Any],
    report: Reporter | None = None,
    accept_environment: bool = False,
) -> Path:
    """Go on with a run that was cut off; a finished one whose elites are intact is left as it is.

    Parameters
    ----------
    execution
        Keys of the ``execution:`` section that differ from now on.
    accept_environment
        Go on although this machine's fingerprint is not the run's. The journal says so from the next round
        on, and all later digests cover it.

    Raises
    ------
    RunError
        If the run's data or environment are not what they were, or it cannot go on.
    LockError
        If another process is writing the run.
    Stopped
        If SIGINT or SIGTERM asked it to stop.
    """
    directory = RunDirectory.open(path)
    if _is_done(directory):
        durable.sync_directory(path)  # whoever wrote the manifest may have been stopped before this
        return path
    with held(path):
        _go_on(directory, execution, report or silent, accept_environment)
    return path


def _go_on(
    directory: RunDirectory, execution: Mapping[str, Any], report: Reporter, accept_environment: bool
) -> None:
    prepared = prepare(changed(read_config(directory.config_path), execution))
    if not _is_done(directory):  # by whoever held the lock until now
        directory.check_manifest(blobs=False)  # of an ended run that goes on, nothing else may be damaged
        carry_on(directory, prepared, pool_of(prepared), report, accept_environment)


def carry_on(
    directory: RunDirectory,
    prepared: Prepared,
    pool: AbstractContextManager[Pool],
    report: Reporter,
    accept_environment: bool = False,
    clock: Clock = time.monotonic,
) -> None:
    """Go on with a run; the pool is only started if there is something left to compute."""
    with directory.journal(readonly=False) as journal:
        journal.verify_chain()
        calibration, spec = stored(directory, journal, prepared)
        moved = moved_to(directory, journal, prepared, accept_environment)
        run = Open(prepared, directory, journal, calibration, spec)
        restore(run.ledger, journal)
        if directory.finished():  # but an elite's genome is to be made again
            directory.remove_manifest()
        directory.recover()
        directory.write_config(to_yaml(prepared.config))
        run.incident("resume", None, f"after round {journal.last_round()}")
        forget_old_states(journal, directory.blobs)
        if run.ledger.closed < prepared.config.rounds or damaged_elites(directory, journal):
            with listening() as stop, pool as workers:
                run.attach(workers, clock)
                workers.configure(spec)
                since = run.ledger.closed + 1 if moved else last_move(journal)
                run.driver(Conditions(clock, report, stop=stop.patiently, moved=moved, since=since)).run()
        run.finish()


def damaged_elites(directory: RunDirectory, journal: Journal) -> bool:
    """Say whether the genome of any elite is missing or damaged."""
    return not all(directory.blobs.intact(digest) for digest in journal.elite_genomes())


def _is_done(directory: RunDirectory) -> bool:
    """Say whether a run has ended and the genomes of its elites are intact."""
    if not directory.finished():
        return False
    with directory.journal() as journal:
        return not damaged_elites(directory, journal)


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

    def attach(self, pool: Pool, clock: Clock = time.monotonic) -> None:
        """Let a pool do the work."""
        self._dispatcher = _dispatcher(self.config, pool, self.incident, clock)

    def driver(self, conditions: Conditions) -> Driver:
        """Make the driver of this run."""
        assert self._dispatcher is not None, "a run is attached to a pool before it is driven"
        return Driver(self.config, self.ledger, self.directory, self.journal, self._dispatcher, conditions)

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
        dispatcher = _dispatcher(config, pool, lambda kind, job, what: None)
        spec, calibration = calibrate(
            config, spec, dispatcher, lambda done: report(_calibrating(config, done))
        )
    else:
        spec, calibration = borrowed(Path(config.calibration.from_run), config, prepared.data, spec)
        pool.configure(spec)
    with ExitStack() as stack:
        with placed(out) as partial:
            directory = RunDirectory.create(partial, to_yaml(config), described(prepared))
            stack.enter_context(held(partial))
            write_round_0(directory, prepared, calibration, spec, time.monotonic() - begun)
        directory = RunDirectory.open(out)
        journal = stack.enter_context(directory.journal(readonly=False))
        run = Open(prepared, directory, journal, calibration, spec)
        run.attach(pool)
        yield run


def _dispatcher(config: Config, pool: Pool, incident: Incident, clock: Clock = time.monotonic) -> Dispatcher:
    execution = config.execution
    return Dispatcher(pool, execution.attempts, execution.order_timeout, incident, evidence, clock)


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
        check_free(out)
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
            check_free(out)
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
    centroids = decode_centroids(blobs.get(event["centroids"]))
    spec = WorldSpec(
        plain_config(prepared.config),
        prepared.corpus,
        prepared.data,
        blobs.get(event["interface"]),
        tuple(blobs.get(host) for host in event["hosts"]),
    )
    return Calibration.read(event, centroids), spec


def calibrated(directory: RunDirectory, journal: Journal, prepared: Prepared) -> Mapping[str, Any]:
    """Give what the journal says of calibration, and check that format, configuration and data are the run's.

    Raises
    ------
    RunError
        If the journal has no calibration, or format, configuration or data are not those of the run.
    """
    check_format(directory.path, journal)
    base = journal.meta(BASE)
    events = list(journal.events(0, "calibration"))
    if base is None or not events:
        raise RunError(f"{directory.path} has no calibration in its journal; launch it again")
    event = events[0].value
    with readable("the calibration in the journal"):
        if not (isinstance(event["interface"], str) and isinstance(event["hosts"], list)):
            raise ValueError("interface and hosts are named by digests")
        ours = json.loads(base_text(prepared, event["centroids"]))
        different = settings.differences(json.loads(base), ours)
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
