"""The session in which a run is written: what is there, what to go on from, and the driver that goes on with it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from archive_store.errors import UNREADABLE
from archive_store.journal.journal import Journal
from archive_store.journal.values import checked, values
from archive_store.run_directory import RunDirectory
from qd.canonical import canonical, sha256
from qd.emitters.records import Emission, Emitted
from qd.records import Census, Decision, Outcome
from runs.calibration.constants import Calibration
from runs.calibration.segments import begins
from runs.calibration.stored import constants_of, with_calibrated
from runs.config.schema import Config
from runs.driver import Driver
from runs.errors import RunError
from runs.machine.clock import Clock, moment
from runs.observability.measured import NOBODY, Recorder
from runs.prepared import Prepared
from runs.rounds.ledger import Item, Ledger
from runs.training.answer import EmitReport, RoundReport
from runs.training.world import WorldSpec
from runs.workers.dispatch import Dispatcher, Incident
from runs.workers.jobs import Done, Job
from runs.workers.pool import WorkerPool


class RunSession:
    """A run that is being written: its ledger, journal and directory, and the driver that goes on with it.

    Parameters
    ----------
    prepared
        Its configuration, data and fingerprint.
    directory, journal
        Where it is kept; the journal is open for writing.
    calibration, spec
        Its constants, and the world with interface and hosts.
    since, before
        First round under this configuration, and the one until then; None: there was none.
    """

    def __init__(
        self,
        prepared: Prepared,
        directory: RunDirectory,
        journal: Journal,
        calibration: Calibration,
        spec: WorldSpec,
        since: int = 1,
        before: Config | None = None,
    ) -> None:
        self.config = prepared.config
        self.directory = directory
        self.journal = journal
        self.ledger = Ledger(prepared.config, calibration, since)
        self.spec = spec
        self.since = since
        self._before = before
        self._dispatcher: Dispatcher | None = None
        self._clock: Clock = time.monotonic
        self._recorder: Recorder = NOBODY

    @property
    def begins(self) -> list[Item]:
        """The event that its first round begins with, where that is still to come and other settings went before."""
        is_to_come = (self.journal.last_round() or 0) == self.since - 1
        return [] if self._before is None or not is_to_come else [begins(self._before, self.config)]

    def lacks_states(self) -> bool:
        """Return whether an organism has no intact state from which these rounds, or the rest of them, go on."""
        kept = [each for each in self.journal.states() if each.round >= self.since - 1]
        intact = {each.organism for each in kept if self.directory.blobs.intact(each.digest)}
        return len(intact) < self.config.organism.count

    def attach(self, pool: WorkerPool, clock: Clock = time.monotonic, recorder: Recorder = NOBODY) -> None:
        """Let a pool do the work.

        Parameters
        ----------
        pool
            Its workers are those of the driver.
        clock
            Monotonic seconds, for timings and time-outs alone.
        recorder
            Is told what is measured.
        """
        self._dispatcher = dispatcher_of(self.config, pool, self.incident, clock, recorder)
        self._clock, self._recorder = clock, recorder

    def driver(self, **options: Any) -> Driver:
        """Return the driver of this run; `options` are those of `Driver` after its clock."""
        assert self._dispatcher is not None, "a run is attached to a pool before it is driven"
        return Driver(
            self.config,
            self.ledger,
            self.directory,
            self.journal,
            self._dispatcher,
            self._clock,
            first=self.since - 1,
            recorder=self._recorder,
            **options,
        )

    def incident(self, kind: str, job: Job | None, what: str) -> None:
        """Journal an incident: something that happened to workers or files and that no digest covers.

        Parameters
        ----------
        kind
            Such as ``lost`` or ``resume``.
        job
            The job that it happened to, if it was one.
        what
            What happened, in words.
        """
        round, organism = (None, None) if job is None else (job.round, job.organism)
        self.journal.incident(moment(), kind, {"what": what}, round=round, organism=organism)
        self._recorder.happened(kind)

    def finish(self) -> None:
        """End the run: finish the journal and write the manifest."""
        digest = self.journal.digest()
        self.journal.finish()
        self.directory.write_manifest(digest)


def restore(ledger: Ledger, journal: Journal, until: int | None = None) -> None:
    """Restore a new ledger to a round of the journal.

    Parameters
    ----------
    ledger
        A new one.
    journal
        Of the run.
    until
        The round; None: the last.

    Raises
    ------
    RunError
        If a round is not made of decisions, censuses and competitions that follow from one another.
    """
    last = (journal.last_round() or 0) if until is None else until
    for round in range(1, last + 1):
        events = list(journal.events(round))
        try:
            ledger.restore(
                list(values((event for event in events if event.kind == "decision"), Decision)),
                list(values((event for event in events if event.kind == "census"), Census)),
                list(values((event for event in events if event.kind == "outcome"), Outcome)),
                list(values((event for event in events if event.kind == "emission"), Emission)),
                list(values((event for event in events if event.kind == "emitted"), Emitted)),
                next((checked(event) for event in events if event.kind == "summary"), None),
            )
        except UNREADABLE as error:
            raise RunError(
                f"round {round} of the journal cannot be restored: {error}; the journal was altered"
            ) from error


def sessions(
    parts: Sequence[tuple[int, Config]],
    prepared: Prepared,
    directory: RunDirectory,
    journal: Journal,
    event: Mapping[str, Any],
) -> list[RunSession]:
    """Return a session for each segment of a run; their ledgers are not restored yet.

    Parameters
    ----------
    parts
        First round and configuration of each segment.
    prepared
        Data and fingerprint of the run.
    directory, journal
        Of the run.
    event
        Of its calibration.
    """
    constants = constants_of(event, directory.blobs)
    found: list[RunSession] = []
    for since, config in parts:
        here = replace(prepared, config=config)
        spec = with_calibrated(here.world(), event, directory.blobs)
        before = found[-1].config if found else None
        found.append(RunSession(here, directory, journal, constants, spec, since, before))
    return found


def dispatcher_of(
    config: Config,
    pool: WorkerPool,
    incident: Incident,
    clock: Clock = time.monotonic,
    recorder: Recorder = NOBODY,
) -> Dispatcher:
    """Return what sends the work of a run to a pool.

    Parameters
    ----------
    config
        Of the run.
    pool
        Does the work.
    incident
        Called with what happens to workers.
    clock
        Monotonic seconds, for timings and time-outs alone.
    recorder
        Is told what is measured.
    """
    execution = config.execution
    return Dispatcher(
        pool, execution.attempts, execution.order_timeout, incident, evidence, clock, config.seed, recorder
    )


def evidence(done: Done) -> str:
    """Return a digest of what two answers to one job must agree on."""
    match done.report:
        case RoundReport():
            return sha256(canonical(done.report.census))
        case EmitReport():
            return sha256(canonical(done.report.emitted))
    return sha256(canonical(done.report))
