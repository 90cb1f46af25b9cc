"""Resuming: a run is restored from its journal and goes on to its end."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any

from archive_store import durable
from archive_store.errors import RunDirectoryError
from archive_store.journal.journal import ENVIRONMENT, Journal
from archive_store.lock import held
from archive_store.run_directory import RunDirectory
from runs.calibration.segments import configurations
from runs.calibration.stored import calibrated, config_of
from runs.config.reader import changed
from runs.config.schema import to_yaml
from runs.errors import RunError, command
from runs.launch import silent
from runs.machine.clock import Clock
from runs.machine.interruption import listening, to_stderr
from runs.machine.migration import last_move, moved_to
from runs.observability.measured import NOBODY
from runs.observability.progress import Progress, Reporter
from runs.prepared import Prepared, prepare
from runs.recording import Recording, recording
from runs.rounds.commit import forget_old_states
from runs.session import restore, sessions
from runs.workers.pool import WorkerPool
from runs.workers.start import pool_of


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
        check_as_it_ended(directory)
        durable.sync_directory(path)  # whoever wrote the manifest may have been stopped before this
        return path
    with held(path):
        _go_on(directory, execution, report or silent, accept_environment, tell)
    return path


def check_as_it_ended(directory: RunDirectory) -> None:
    """Refuse a finished run that was altered since: what is left to do there is nothing, whatever is asked for now."""
    try:
        directory.check_manifest(blobs=False)
    except RunDirectoryError:
        try:
            with directory.journal() as journal:
                calibrated(directory, journal, config_of(directory))
        except RunError as error:
            raise RunError(
                f"{error}; it has ended: restore {directory.config_path} from a copy, then go on to more rounds with "
                f"{command('extend', directory.path, '--rounds', 'N')}, or with other settings with "
                f"{command('fork', directory.path, '--at', 'ROUND')} a.b=v"
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
        parts = configurations(journal, prepared.config)
        *earlier, last = sessions(parts, prepared, directory, journal, event)
        restore(last.ledger, journal)
        if directory.finished():  # but an elite's genome is to be made again
            directory.remove_manifest()
        directory.recover()
        directory.write_config(to_yaml(prepared.config))
        last.incident("resume", None, f"after round {journal.last_round()}")
        forget_old_states(journal, directory.blobs)
        begins = last.begins + ([] if moved is None else [(ENVIRONMENT, moved)])
        since = last.ledger.closed + 1 if moved else last_move(journal)
        if last.ledger.closed < last.ledger.last or damaged_elites(directory, journal):
            report(Progress("starting workers"))
            with listening(tell) as stop, pool as workers:
                if recorder is not None:
                    recorder.begin(directory.path, journal)
                for before, after in pairwise([*earlier, last]):
                    if damaged_elites(directory, journal) or after.lacks_states():
                        restore(before.ledger, journal, after.since - 1)
                        before.attach(workers, clock)
                        workers.configure(before.spec)
                        driver = before.driver(stop=stop.patiently, since=last_move(journal))
                        driver.run(until=after.since - 1, states=True)
                last.attach(workers, clock, recorder or NOBODY)
                workers.configure(last.spec)
                last.driver(report=report, stop=stop.patiently, begins=begins, since=since).run()
                if recorder is not None:
                    recorder.ended()
        last.finish()


def damaged_elites(directory: RunDirectory, journal: Journal) -> bool:
    """Return whether the genome of any elite is missing or damaged."""
    return not all(directory.blobs.intact(digest) for digest in journal.elite_genomes())


def _is_done(directory: RunDirectory) -> bool:
    """Return whether a run has ended and the genomes of its elites are intact."""
    if not directory.finished():
        return False
    with directory.journal() as journal:
        return not damaged_elites(directory, journal)
