"""Going on with other settings: a finished run is extended, and a new one branches off any round of another."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from archive_store.journal.branch import branched
from archive_store.journal.dependents import uses
from archive_store.journal.journal import Journal
from archive_store.journal.segments import put_pending
from archive_store.lock import held
from archive_store.run_directory import RunDirectory
from qd.lifecycle.annealing import cosine
from runs.calibration.segments import changed as with_settings
from runs.calibration.segments import configurations
from runs.calibration.stored import calibrated, config_of
from runs.config.reader import changed
from runs.config.schema import Config, scientific, to_yaml
from runs.errors import ConfigError, RunError, command
from runs.launch import silent
from runs.machine.interruption import to_stderr
from runs.machine.migration import moved_to
from runs.machine.place import check_place, placed
from runs.observability.progress import Progress, Reporter
from runs.prepared import prepare
from runs.recording import recording
from runs.resume import carry_on, check_as_it_ended
from runs.rounds.rules import rules
from runs.workers.start import pool_of


def extend(
    path: Path,
    rounds: int,
    execution: Mapping[str, Any],
    report: Reporter | None = None,
    accept_environment: bool = False,
    tell: Callable[[str], None] = to_stderr,
) -> Path:
    """Let a finished run go on to more rounds; those that it has, and their digests, stay as they are.

    Parameters
    ----------
    path
        Directory of the run.
    rounds
        Of the whole run.
    execution
        Keys of the ``execution:`` section that differ from now on.
    report
        Called with the progress of every round; None: it is not reported.
    accept_environment
        Go on although this machine's fingerprint is not the run's.
    tell
        Called with a sentence for whoever asks the run to stop, within the signal's handler.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    ConfigError
        If the run has so many rounds already; nothing was written.
    RunError
        If it has not ended, was altered, or cannot go on here.
    Stopped
        If a signal asked it to stop.
    """
    report = report or silent
    directory = RunDirectory.open(path)
    with held(path):
        if not directory.finished():
            raise RunError(f"{path} has not ended; go on with: {command('resume', path)}")
        check_as_it_ended(directory)
        before = changed(config_of(directory), execution)
        with directory.journal() as journal:
            last = journal.last_round() or 0
            after = with_settings(before, (), rounds, last)
            prepared = prepare(after)
            calibrated(directory, journal, before, prepared.data)
            moved_to(directory, journal, prepared.fingerprint, accept_environment)
        with recording(after, tell) as recorder:  # which may refuse, when nothing is written yet
            directory.remove_manifest()
            with directory.journal(readonly=False) as journal:
                put_pending(journal, scientific(after), to_yaml(after))
            directory.write_config(to_yaml(after))
            report(Progress("loading", message=turn(before, after, last)))
            carry_on(
                directory,
                prepared,
                pool_of(prepared),
                report,
                accept_environment,
                tell=tell,
                recorder=recorder,
            )
    return path


def fork(
    path: Path,
    at: int,
    out: Path,
    overrides: Sequence[str],
    execution: Mapping[str, Any],
    report: Reporter | None = None,
    accept_environment: bool = False,
    tell: Callable[[str], None] = to_stderr,
) -> Path:
    """Make a new run that has the rounds of another up to one of them, and goes on from there with other settings.

    What `overrides` leave out is as in the other run's next round. The states of the last round that they share are
    made again, from the newest checkpoint before it, where they were not kept.

    Parameters
    ----------
    path
        Directory of the other run, which is only read; it need not have ended.
    at
        Last round that they share.
    out
        Directory of the new one, which must not exist.
    overrides
        Settings ``key.path=value``; some cannot change (`runs.calibration.segments.FIXED`).
    execution
        Keys of the ``execution:`` section that differ.
    report
        Called with the progress of every round; None: it is not reported.
    accept_environment
        Go on although this machine's fingerprint is not the other run's.
    tell
        Called with a sentence for whoever asks the run to stop, within the signal's handler.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ConfigError
        If the round or a setting cannot be used, or `out` exists; nothing was written.
    RunError
        If the other run cannot be gone on with here.
    Stopped
        If a signal asked it to stop.
    """
    report = report or silent
    check_place(out)
    parent = RunDirectory.open(path)
    with ExitStack() as recorded:
        with parent.journal() as journal, journal.snapshot():
            last = journal.last_round() or 0
            if not 1 <= at <= last:
                raise ConfigError(f"{path} has rounds 1 to {last} to branch off after, not {at}")
            now = changed(config_of(parent), execution)
            before = [config for since, config in configurations(journal, now) if since <= at + 1][-1]
            after = with_settings(before, overrides, None, at)
            prepared = prepare(after)
            calibrated(parent, journal, now, prepared.data)
            moved_to(parent, journal, prepared.fingerprint, accept_environment)
            recorder = recorded.enter_context(
                recording(after, tell)
            )  # may refuse, when nothing is written yet
            with placed(out) as partial:
                _branch(
                    parent,
                    journal,
                    at,
                    RunDirectory.create(partial, to_yaml(after), parent.environment()),
                    after,
                )
        report(Progress("loading", message=turn(before, after, at)))
        directory = RunDirectory.open(out)
        with held(out):
            carry_on(
                directory,
                prepared,
                pool_of(prepared),
                report,
                accept_environment,
                tell=tell,
                recorder=recorder,
            )
    return out


def turn(before: Config, after: Config, at: int) -> str:
    """Return a sentence that says how the schedules, which depend on the length of a run, go on after a round.

    Parameters
    ----------
    before, after
        The configuration up to that round, and from then on.
    at
        The round.
    """
    first, second = (_scheduled(config, at * before.training.steps_per_round) for config in (before, after))
    return (
        f"round {at + 1} and those after it follow the schedules of {after.rounds} rounds: there the temperature is "
        f"{second[0]:.4g} (it was to be {first[0]:.4g}), the learning rate {second[1]:.4g} ({first[1]:.4g})"
    )


def _scheduled(config: Config, step: int) -> tuple[float, float]:
    """Return temperature and learning rate at an optimizer step."""
    training, steps = config.training, config.rounds * config.training.steps_per_round
    rate = cosine(training.learning_rate, training.learning_rate * training.final_share, steps)
    return rules(config, 1.0).temperature(step), rate(step)


def _branch(parent: RunDirectory, journal: Journal, at: int, new: RunDirectory, after: Config) -> None:
    """Fill a new run with the rounds of another, the blobs that they name, and the settings that it goes on with."""
    states = {
        state.digest for state in journal.states() if state.round <= at and parent.blobs.intact(state.digest)
    }
    with branched(journal, at, new.journal_path, states) as copied:
        for digest in sorted(uses(copied, at, finished=False)):
            if parent.blobs.intact(digest):  # one of an elite that is not is made again
                new.blobs.put(parent.blobs.get(digest))
        put_pending(copied, scientific(after), to_yaml(after))
