"""The driver: sends every organism through its rounds, closes rounds in order and journals them.

    decide -> Order -> trainer -> census -> (all of a round) -> compete -> journal -> view -> decide ...

An organism is sent on as soon as its own census and an old enough view are there; nobody waits at a
barrier. What is written never depends on who was faster, because `runs.rounds.ledger` orders it, nor on what was
lost on the way, because `runs.rounds.recovery` makes it again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from archive_store.errors import BlobError
from archive_store.journal.journal import Journal
from archive_store.run_directory import RunDirectory
from qd.canonical import canonical, sha256
from qd.records import Census
from qd.seeding import happens, uniform
from runs.config.schema import Config
from runs.errors import RunError, Stopped
from runs.observability.progress import Progress
from runs.rounds.commit import Scribe
from runs.rounds.differences import difference_of
from runs.rounds.ledger import Closed, Ledger
from runs.rounds.recovery import Recovery
from runs.training.answer import Report
from runs.workers.dispatch import Dispatcher
from runs.workers.jobs import Done, Gone, Handle, Job, Starved

AUDIT = "audit"


@dataclass(slots=True)
class _Place:
    """Where an organism stands: its newest state, and whether an order is under way."""

    round: int = 0
    state: Handle = None  # None: to be founded
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the driver is told from outside while it works, and whom it tells.

    Parameters
    ----------
    clock
        Monotonic seconds, for the journal's timings alone.
    report
        Told about progress.
    closed
        Told about every round after it was journaled.
    stop
        Whether the run shall stop as soon as what is under way is done.
    moved
        What is different about the machine since the last round was journaled, if that was accepted: the
        event that says so.
    since
        First round that was made in this environment, or will be: rounds before cannot be checked here.
    """

    clock: Callable[[], float]
    report: Callable[[Progress], None] = lambda progress: None
    closed: Callable[[Closed], None] = lambda closed: None
    stop: Callable[[], bool] = lambda: False
    moved: Mapping[str, Any] | None = None
    since: int = 1


class Driver:
    """Carries a calibrated run from its last journaled round to its end.

    Parameters
    ----------
    config
        Of the run.
    ledger
        The run in logical time, restored up to the last journaled round.
    directory, journal
        Where the run is kept.
    dispatcher
        Sends orders to trainers.
    conditions
        Everything else that comes from outside.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        directory: RunDirectory,
        journal: Journal,
        dispatcher: Dispatcher,
        conditions: Conditions,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._directory = directory
        self._blobs = directory.blobs
        self._dispatcher = dispatcher
        self._conditions = conditions
        self._scribe = Scribe(
            config, directory.blobs, journal, dispatcher.pool.fetch, conditions.clock, conditions.moved
        )
        self._closed: Closed | None = None  # a round that is closed and not journaled yet
        self._places = {organism: _Place() for organism in ledger.organisms}
        self._answers: dict[tuple[int, int], Done] = {}  # (round, organism), from the last journaled round on
        self._audits: set[tuple[int, int]] = set()  # (round, organism) under way
        self._recovery = Recovery(directory.blobs, journal)

    def run(self, until: int | None = None) -> None:
        """Work until all rounds (or those up to `until`) are journaled and every elite's genome is intact.

        Raises
        ------
        Stopped
            If the run was asked to stop; a resume goes on from here.
        RunError
            If the run cannot go on.
        """
        last = self._config.rounds if until is None else min(until, self._config.rounds)
        for organism, place in self._places.items():
            place.round, place.state = self._recovery.checkpoint(organism, self._scribe.journaled)
        self._recovery.look_for([elite.genome for elite in self._ledger.view.elites])
        while self._scribe.journaled < last or self._recovery.needed:
            stopping = self._conditions.stop()
            if stopping and not self._dispatcher.busy:
                self._stop()
            if not stopping:
                self._send_all(last)
            answer = self._dispatcher.next(send=not stopping)
            if isinstance(answer, Starved):
                self._starve(answer)
            elif answer is not None:
                self._take(answer)
            self._journal_rounds(last)

    def _send_all(self, last: int) -> None:
        for organism, place in self._places.items():
            self._send(organism, place, last)
        for organism, round, state in self._recovery.due():
            if self._submit(organism, round, state):  # else what it lacks is due the next time
                self._recovery.sent(organism)

    def _send(self, organism: int, place: _Place, last: int) -> None:
        round = place.round + 1
        waits = place.sent or round > last or self._recovery.needs(organism, place.round)
        # While a closed round cannot be journaled, what it brought into the archive is not on disk either.
        if not waits and self._closed is None and self._ledger.may_decide(organism, round):
            place.sent = self._submit(organism, round, place.state)

    def _submit(self, organism: int, round: int, state: Handle) -> bool:
        """Send an order if the genomes of all parents are intact; else have them made again first."""
        order = self._ledger.decision(organism, round)
        genomes = {}
        for digest in dict.fromkeys(
            digest for birth in order.births if birth.happens for digest in birth.genomes
        ):
            try:
                genomes[digest] = self._blobs.get(digest)
            except BlobError:
                self._recovery.look_for([digest])
                return False
        job = Job("advance", round, organism, (state, order, genomes))
        self._dispatcher.submit(job, self._priority(organism, round))
        return True

    def _priority(self, organism: int, round: int) -> tuple[float, ...]:
        """Earlier rounds go first; in a round, organisms of the largest counted FLOPs when last seen."""
        if round == 1:
            return (round, 0.0, organism)
        flops = sum(record.flops for record in self._ledger.census(organism, round - 1).records)
        return (round, -flops, organism)

    def _starve(self, starved: Starved) -> None:
        """Have an organism's state made again: it was lost with its machine."""
        round, organism = starved.job.round, starved.job.organism
        place = self._places[organism]
        if starved.job.name == AUDIT:
            self._audits.discard((round, organism))
            return
        self._recovery.starve(organism, round)
        if place.sent and round == place.round + 1:
            place.sent = False
            self._recovery.need(organism, place.round)

    def _take(self, done: Done) -> None:
        report: Report = done.report
        census = report.census
        key, place = (census.round, census.organism), self._places[census.organism]
        if census.round <= self._ledger.known(census.organism):
            self._check_again(done.job, census)
        else:
            self._ledger.accept(census)
        if done.job.name == AUDIT:
            self._audits.discard(key)
            return
        if census.round >= self._scribe.journaled:
            self._answers[key] = done
        if census.round == place.round + 1:
            place.round, place.state, place.sent = census.round, done.payload, False
        elif census.round == place.round:
            place.state = done.payload
        self._recover(done)
        self._audit(done)

    def _recover(self, done: Done) -> None:
        try:
            self._recovery.take(done, self._dispatcher.pool.fetch)
        except Gone:
            self._recovery.restart(done.job.organism)

    def _audit(self, done: Done) -> None:
        """Have a share of the orders, chosen by a named draw, done again by another worker."""
        round, organism = done.job.round, done.job.organism
        draw = uniform(self._config.seed, round, f"{AUDIT}:{organism}")
        if round >= self._conditions.since and happens(self._config.execution.audit, draw):
            self._audits.add((round, organism))
            again = Job(AUDIT, round, organism, done.job.arguments)
            self._dispatcher.submit(again, self._priority(organism, round), avoid=done.worker)

    def _check_again(self, job: Job, census: Census) -> None:
        known = self._ledger.census(census.organism, census.round)
        if canonical(census) == canonical(known):
            return
        what, where = (
            f"round {census.round} of organism {census.organism}",
            difference_of(known, census, self._config.measures),
        )
        if job.name == AUDIT:
            raise RunError(
                f"{what} came out differently on a second worker: states {known.state} and {census.state}, "
                f"first in {where}; a task, family or measure gives different results for equal input"
            )
        if census.round >= self._conditions.since:
            raise RunError(
                f"{what} came out differently the second time: state {census.state}, in the journal "
                f"{known.state}, first in {where}; the machine or a user's module is not what it was"
            )

    def _journal_rounds(self, last: int) -> None:
        """Close and journal what is complete; a round waits for its audits and for what was lost of it."""
        while self._scribe.journaled < last:
            following = self._scribe.journaled + 1
            if any(round == following for round, _ in self._audits) or any(
                self._recovery.needs(organism, following) for organism in self._ledger.organisms
            ):
                return
            if self._closed is None:
                if not self._ledger.complete():
                    return
                self._closed = self._ledger.close()
            answers = {o: self._answers[self._closed.round, o] for o in self._ledger.organisms}
            lost = self._scribe.write(self._closed, answers)
            for organism in lost:
                self._recovery.need(organism, following)
            if lost:
                return
            for organism in self._ledger.organisms:
                self._answers.pop((following - 1, organism), None)
            self._conditions.closed(self._closed)
            self._tell(self._closed)
            self._closed = None

    def _stop(self) -> None:
        journaled = self._scribe.journaled
        ends = {o: done for (round, o), done in self._answers.items() if round == journaled}
        # After a move, what was done again may have come out otherwise than it is journaled.
        self._scribe.keep_states({o: done for o, done in ends.items() if self._is_journaled(done)})
        raise Stopped(
            f"stopped after round {journaled} of {self._config.rounds}, as asked; "
            f"go on with: plasmodia resume {self._directory.path}"
        )

    def _is_journaled(self, done: Done) -> bool:
        census: Census = done.report.census
        return census.state == self._ledger.census(census.organism, census.round).state

    def _tell(self, closed: Closed) -> None:
        self._conditions.report(
            Progress(
                stage="rounds",
                round=closed.round,
                rounds=self._config.rounds,
                coverage=closed.view.coverage,
                qd_score=closed.view.qd_score,
                temperature=closed.temperature,
                births=self._ledger.births,
                deaths=self._ledger.deaths,
                done=closed.round / self._config.rounds,
            )
        )


def evidence(done: Done) -> str:
    """Digest what two answers to one job must agree on."""
    if isinstance(done.report, Report):
        return sha256(canonical(done.report.census))
    return sha256(canonical(done.report))
