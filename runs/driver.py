"""The driver: sends every organism through its rounds, closes rounds in order and journals them.

    decide -> Order -> trainer -> census -> (all of a round) -> compete -> journal -> view -> decide ...

An organism is sent on as soon as its own census and an old enough view are there; nobody waits at a
barrier. What is written never depends on who was faster, because `runs.ledger` orders it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from archive_store.chain import UNREADABLE, numbered, round_digest
from archive_store.errors import BlobError
from archive_store.journal import KEPT_STATES, Journal, Timing
from archive_store.run_directory import RunDirectory
from qd.canonical import canonical, sha256
from qd.records import Census, Decision, Outcome, read
from runs.config import Config
from runs.dispatch import Dispatcher
from runs.errors import RunError
from runs.ledger import Closed, Ledger
from runs.pools import Done, Handle, Job
from runs.progress import Progress
from runs.summary import WALL
from runs.trainer import Report


@dataclass(slots=True)
class _Place:
    """Where an organism stands: its newest state, and whether an order is under way."""

    round: int = 0
    state: Handle = None  # None: to be founded
    sent: bool = False


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
    report
        Told about progress.
    closed
        Told about every round after it was journaled.
    clock
        Monotonic seconds, for the journal's timings alone.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        directory: RunDirectory,
        journal: Journal,
        dispatcher: Dispatcher,
        report: Callable[[Progress], None],
        closed: Callable[[Closed], None],
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._blobs = directory.blobs
        self._journal = journal
        self._dispatcher = dispatcher
        self._report = report
        self._closed = closed
        self._clock = clock
        self._written = clock()  # when the last round was
        self._places = {organism: _Place() for organism in ledger.organisms}
        self._answers: dict[tuple[int, int], Done] = {}  # (round, organism), until its round is journaled

    def run(self, until: int | None = None) -> None:
        """Work until all rounds (or those up to `until`) are journaled."""
        last = self._config.rounds if until is None else min(until, self._config.rounds)
        self._start_from_checkpoints()
        while self._ledger.closed < last:
            for organism, place in self._places.items():
                self._send(organism, place, last)
            self._take(self._dispatcher.next())
            while self._ledger.complete() and self._ledger.closed < last:
                self._close()

    def _start_from_checkpoints(self) -> None:
        """Let each organism go on from its newest intact state that is no newer than the journal."""
        for organism, place in self._places.items():
            for stored in sorted(self._journal.states(organism), key=lambda state: -state.round):
                if stored.round > self._ledger.closed or not self._blobs.has(stored.digest):
                    continue
                with suppress(BlobError):  # damaged: an older one leads to the same end
                    place.round, place.state = stored.round, self._blobs.get(stored.digest)
                    break

    def _send(self, organism: int, place: _Place, last: int) -> None:
        round = place.round + 1
        if place.sent or round > last or not self._ledger.may_decide(organism, round):
            return
        order = self._ledger.decision(organism, round)
        born = [birth for birth in order.births if birth.happens]
        genomes = {digest: self._blobs.get(digest) for birth in born for digest in birth.genomes}
        job = Job("advance", round, organism, (place.state, order, genomes))
        self._dispatcher.submit(job, (round, -self._cost(organism, round), organism))
        place.sent = True

    def _cost(self, organism: int, round: int) -> float:
        """Counted FLOPs of an organism as it was last seen: the costliest orders of a round go first."""
        if round == 1:
            return 0.0
        return sum(record.flops for record in self._ledger.census(organism, round - 1).records)

    def _take(self, done: Done) -> None:
        report: Report = done.report
        census, place = report.census, self._places[done.job.organism]
        place.round, place.state, place.sent = census.round, done.payload, False
        if census.round <= self._ledger.known(census.organism):
            self._check_again(census)
            return
        self._ledger.accept(census)
        self._answers[(census.round, census.organism)] = done

    def _check_again(self, census: Census) -> None:
        journaled = self._ledger.census(census.organism, census.round)
        if canonical(census) != canonical(journaled):
            raise RunError(
                f"round {census.round} of organism {census.organism} came out differently the second time: "
                f"state {census.state}, in the journal {journaled.state}; the machine or a user's module "
                "is not what it was"
            )

    def _close(self) -> None:
        closed = self._ledger.close()
        answers = {o: self._answers.pop((closed.round, o)) for o in self._ledger.organisms}
        fetched = {o: self._fetch(answers[o].genomes) for o in sorted({o for o, _ in closed.genomes})}
        blobs = [fetched[organism][digest] for organism, digest in closed.genomes]
        keeps = (
            closed.round % self._config.execution.checkpoint_every == 0 or closed.round == self._config.rounds
        )
        states: dict[int, str] = {}
        if keeps:
            payloads = {o: self._fetch(answer.payload) for o, answer in answers.items()}
            states = {o: sha256(payload) for o, payload in payloads.items()}
            blobs += payloads.values()
        self._blobs.put_all(blobs)
        events = numbered(closed.round, closed.items)
        digest = round_digest(self._journal.digest(), events)
        now = self._clock()
        wall = Timing(organism=None, name=WALL, seconds=now - self._written, worker="driver")
        self._journal.write_round(closed.round, events, states, [wall, *_timings(answers)], digest)
        self._written = now
        if keeps:
            self._forget_old_states()
        self._closed(closed)
        self._tell(closed)

    def _fetch(self, handle: Handle) -> Any:
        return self._dispatcher.pool.fetch(handle)

    def _forget_old_states(self) -> None:
        for organism in self._ledger.organisms:
            stored = sorted(self._journal.states(organism), key=lambda state: -state.round)
            for state in stored[KEPT_STATES:]:
                self._blobs.remove(state.digest)

    def _tell(self, closed: Closed) -> None:
        self._report(
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


def restore(ledger: Ledger, journal: Journal) -> None:
    """Bring a new ledger to where the journal ends.

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
                [read(Decision, event.value) for event in events if event.kind == "decision"],
                [read(Census, event.value) for event in events if event.kind == "census"],
                [read(Outcome, event.value) for event in events if event.kind == "outcome"],
            )
        except UNREADABLE as error:
            raise RunError(
                f"round {round} of the journal cannot be restored: {error}; the journal was altered"
            ) from error


def evidence(done: Done) -> str:
    """Digest what two answers to one job must agree on."""
    if isinstance(done.report, Report):
        return sha256(canonical(done.report.census))
    return sha256(canonical(done.report))


def _timings(answers: Mapping[int, Done]) -> list[Timing]:
    return [
        Timing(organism=organism, name=name, seconds=seconds, worker=done.worker)
        for organism, done in answers.items()
        for name, seconds in done.report.seconds.items()
    ]
