"""Resuming: a run is restored from its journal and goes on to its end."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from archive_store import durable
from archive_store.errors import UNREADABLE, RunDirectoryError
from archive_store.journal.journal import Journal
from archive_store.journal.values import values
from archive_store.lock import held
from archive_store.run_directory import RunDirectory
from qd.emitters.records import Emission, Emitted
from qd.records import Census, Decision, Outcome
from runs.calibration.stored import calibrated, config_of, constants_of, with_calibrated
from runs.config.reader import changed
from runs.config.schema import to_yaml
from runs.errors import RunError
from runs.launch import RunSession, silent
from runs.machine.clock import Clock
from runs.machine.interruption import listening, to_stderr
from runs.machine.migration import last_move, moved_to
from runs.observability.measured import NOBODY
from runs.observability.progress import Progress, Reporter
from runs.prepared import Prepared, prepare
from runs.recording import Recording, recording
from runs.rounds.commit import forget_old_states
from runs.rounds.ledger import Ledger
from runs.workers.pool import WorkerPool
from runs.workers.start import pool_of


def restore(ledger: Ledger, journal: Journal) -> None:
    """Restore a new ledger to the last round of the journal.

    Raises
    ------
    RunError
        If a round is not made of decisions, censuses and competitions that follow from one another.
    """
    last = journal.last_round() or 0
    for round in range(1, last + 1):
        events = list(journal.events(round))
        try:
            ledger.restore(
                list(values((event for event in events if event.kind == "decision"), Decision)),
                list(values((event for event in events if event.kind == "census"), Census)),
                list(values((event for event in events if event.kind == "outcome"), Outcome)),
                list(values((event for event in events if event.kind == "emission"), Emission)),
                list(values((event for event in events if event.kind == "emitted"), Emitted)),
            )
        except UNREADABLE as error:
            raise RunError(
                f"round {round} of the journal cannot be restored: {error}; the journal was altered"
            ) from error


def resume(
    path: Path,
    execution: Mapping[str, Any],
    report: Reporter | None = None,
    accept_environment: bool = False,
    tell: Callable[[str], None] = to_stderr,
) -> Path:
    """Go on with a run that was cut off; a finished one whose elites are intact is left as it is.

    Parameters
    ----------
    path
        Directory of the run.
    execution
        Keys of the ``execution:`` section that differ from now on.
    report
        Called with the progress of every round; None: it is not reported.
    accept_environment
        Go on although this machine's fingerprint is not the run's. The journal says so from the next round
        on, and all later digests cover it.
    tell
        Called with a sentence for whoever asks the run to stop, within the signal's handler.

    Returns
    -------
    Path
        The directory.

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
        _check_as_it_ended(directory)
        durable.sync_directory(path)  # whoever wrote the manifest may have been stopped before this
        return path
    with held(path):
        _go_on(directory, execution, report or silent, accept_environment, tell)
    return path


def _check_as_it_ended(directory: RunDirectory) -> None:
    """Refuse a finished run that was altered since: what is left to do there is nothing, whatever is asked for now."""
    try:
        directory.check_manifest(blobs=False)
    except RunDirectoryError:
        try:
            with directory.journal() as journal:
                calibrated(directory, journal, config_of(directory))
        except RunError as error:
            raise RunError(
                f"{error}; it has ended and is not extended: restore {directory.config_path} from a copy, and launch "
                "a run of its own with the other settings, from a configuration elsewhere and with another --out"
            ) from error
        raise


def _go_on(
    directory: RunDirectory,
    execution: Mapping[str, Any],
    report: Reporter,
    accept_environment: bool,
    tell: Callable[[str], None],
) -> None:
    prepared = prepare(changed(config_of(directory), execution))
    if not _is_done(directory):  # by whoever held the lock until now
        directory.check_manifest(blobs=False)  # of an ended run that goes on, nothing else may be damaged
        with recording(prepared.config, tell) as recorder:
            carry_on(
                directory,
                prepared,
                pool_of(prepared),
                report,
                accept_environment,
                tell=tell,
                recorder=recorder,
            )


def carry_on(
    directory: RunDirectory,
    prepared: Prepared,
    pool: AbstractContextManager[WorkerPool],
    report: Reporter,
    accept_environment: bool = False,
    clock: Clock = time.monotonic,
    tell: Callable[[str], None] = to_stderr,
    recorder: Recording | None = None,
) -> None:
    """Go on with a run; the pool is only started if there is something left to compute.

    Parameters
    ----------
    directory
        Of the run, locked by this process.
    prepared
        Its configuration, data and fingerprint, as they are here.
    pool
        Starts the workers when it is entered.
    report
        Called with the progress of every round.
    accept_environment
        Whether a fingerprint that is not the run's is accepted.
    clock
        Monotonic seconds, for timings and time-outs alone.
    tell
        Called with a sentence for whoever asks the run to stop, within the signal's handler.
    recorder
        Is told what is measured; None: nobody is.

    Raises
    ------
    RunError
        If the run's data or environment are not what they were, or it cannot go on.
    Stopped
        If SIGINT or SIGTERM asked it to stop.
    """
    with directory.journal(readonly=False) as journal:
        journal.verify_chain()
        event = calibrated(directory, journal, prepared.config, prepared.data)
        moved = moved_to(directory, journal, prepared.fingerprint, accept_environment)
        spec = with_calibrated(prepared.world(), event, directory.blobs)
        run = RunSession(prepared, directory, journal, constants_of(event, directory.blobs), spec)
        restore(run.ledger, journal)
        if directory.finished():  # but an elite's genome is to be made again
            directory.remove_manifest()
        directory.recover()
        directory.write_config(to_yaml(prepared.config))
        run.incident("resume", None, f"after round {journal.last_round()}")
        forget_old_states(journal, directory.blobs)
        if run.ledger.closed < prepared.config.rounds or damaged_elites(directory, journal):
            report(Progress("starting workers"))
            with listening(tell) as stop, pool as workers:
                if recorder is not None:
                    recorder.begin(directory.path, journal)
                run.attach(workers, clock, recorder or NOBODY)
                workers.configure(spec)
                since = run.ledger.closed + 1 if moved else last_move(journal)
                run.driver(report=report, stop=stop.patiently, moved=moved, since=since).run()
                if recorder is not None:
                    recorder.ended()
        run.finish()


def damaged_elites(directory: RunDirectory, journal: Journal) -> bool:
    """Return whether the genome of any elite is missing or damaged."""
    return not all(directory.blobs.intact(digest) for digest in journal.elite_genomes())


def _is_done(directory: RunDirectory) -> bool:
    """Return whether a run has ended and the genomes of its elites are intact."""
    if not directory.finished():
        return False
    with directory.journal() as journal:
        return not damaged_elites(directory, journal)
