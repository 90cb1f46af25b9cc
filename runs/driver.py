"""The driver: sends every organism through its rounds, closes rounds in order and journals them.

    decide -> order -> trainer -> census -> (all of a round) -> compete -> journal -> view -> decide ...
                       emit    -> children ->

An organism's next order is sent as soon as its own census and an old enough view of the archive are there, without a
barrier. What is written never depends on which worker was faster, because `runs.rounds.ledger` orders it, nor on what
was lost on the way, because `runs.rounds.recovery` makes it again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from archive_store.errors import BlobError
from archive_store.journal.journal import SHADOWED, Journal
from archive_store.run_directory import RunDirectory
from qd.lifecycle.trial import MATERIALS
from qd.records import Census
from runs.config.schema import Config
from runs.errors import RunError, Stopped, command
from runs.machine.clock import Clock, moment
from runs.observability.measured import NOBODY, Recorder
from runs.observability.progress import Progress
from runs.rounds.audits import Audits
from runs.rounds.chunks import Chunks
from runs.rounds.commit import RoundWriter
from runs.rounds.ledger import Closed, Item, Ledger
from runs.rounds.recovery import Position, Recovery
from runs.rounds.rescoring import Rescoring
from runs.rounds.shadows import Shadows
from runs.rounds.timekeeping import Timekeeper
from runs.rounds.told import progress_of, standing_of
from runs.training.answer import RoundReport
from runs.workers.dispatch import Dispatcher
from runs.workers.jobs import (
    ADVANCE,
    AGAIN,
    AUDIT,
    CONCEIVE,
    EMIT,
    EMIT_AGAIN,
    RESCORE,
    SHADOW,
    Done,
    Gone,
    Handle,
    InputLost,
    Job,
    Starved,
)
from runs.workers.placement import key_of


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
    clock
        Monotonic seconds, for the journal's timings alone.
    report
        Called with the progress after every round.
    on_round
        Called with every round after it was journaled.
    stop
        Returns whether the run shall stop when the orders under way are done; None: it never does.
    begins
        Events that the next round begins with, where the run has moved to another machine or has other settings.
    since
        First round that was made in this environment, or will be: earlier ones may come out otherwise here.
    first
        Round at whose end the settings of the run begin; 0, unless there were others before.
    recorder
        Is told what is measured; nothing depends on it.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        directory: RunDirectory,
        journal: Journal,
        dispatcher: Dispatcher,
        clock: Clock,
        *,
        report: Callable[[Progress], None] | None = None,
        on_round: Callable[[Closed], None] | None = None,
        stop: Callable[[], bool] | None = None,
        begins: Sequence[Item] = (),
        since: int = 1,
        first: int = 0,
        recorder: Recorder = NOBODY,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._directory = directory
        self._blobs = directory.blobs
        self._dispatcher = dispatcher
        self._report = report
        self._on_round = on_round
        self._stop_asked = stop
        self._begins = tuple(begins)
        self._recorder = recorder
        pool = dispatcher.pool
        self._writer = RoundWriter(
            config.execution.checkpoint_every,
            directory.blobs,
            journal,
            pool.fetch,
            Timekeeper(clock, dispatcher.occupancy, lambda: pool.workers, recorder),
            ledger.closed,
        )
        self._closed: Closed | None = None  # a round that is closed and not journaled yet
        self._positions = {organism: Position() for organism in ledger.organisms}
        self._answers: dict[tuple[int, int], Done] = {}  # (round, organism), from the last journaled round on
        self._audits = Audits(config, since, dispatcher)
        self._recovery = Recovery(directory.blobs, journal, len(ledger.organisms), first)
        self._rescoring = Rescoring(config, ledger.centroids, ledger.yardstick, directory.blobs, dispatcher)
        self._shadows = Shadows(config.seed, config.execution.trials, dispatcher, self._note_shadow)
        self._journal = journal
        self._chunks = Chunks(ledger, directory.blobs, self._recovery, dispatcher, self._audits.drawn)
        # Of jobs that are no round of an organism.
        self._takers: Mapping[str, Callable[[Done], None]] = {
            EMIT: self._chunks.take,
            EMIT_AGAIN: self._chunks.take,
            RESCORE: self._rescoring.take,
            CONCEIVE: lambda done: self._recovery.take_chunk(done, dispatcher.pool.fetch),
            **{f"{SHADOW}{material}": self._shadows.take for material in MATERIALS},
        }

    def run(self, until: int | None = None, states: bool = False) -> None:
        """Work until all rounds (or those up to `until`) are journaled and every elite's genome is intact.

        Parameters
        ----------
        until
            Last round; None: that of the run.
        states
            Whether the states at its end are made, if they are not there, and kept: other settings go on from them.

        Raises
        ------
        Stopped
            If the run was asked to stop; a resume goes on from here.
        RunError
            If the run cannot go on.
        """
        for organism, position in self._positions.items():
            position.round, position.state = self._recovery.checkpoint(organism, self._writer.journaled)
        self._recovery.look_for([elite.genome for elite in self._ledger.view.elites])
        while (
            self._writer.journaled < (last := self._last(until))
            or self._recovery.needed
            or (states and any(each.round < last for each in self._positions.values()))
            or self._shadows.waiting
        ):
            stopping = self._stop_asked is not None and self._stop_asked()
            if stopping and not self._dispatcher.busy:
                self._stop()
            if not stopping:
                self._send_all(last)
            answer = self._dispatcher.next(send=not stopping)
            if isinstance(answer, InputLost):
                self._lose_input(answer)
            elif isinstance(answer, Starved):
                self._ask_for_less(answer)
            elif answer is not None:
                self._take(answer)
            self._journal_rounds(until)
        if states:
            self._keep_states()
        self._writer.finish()

    def _last(self, until: int | None) -> int:
        return self._ledger.last if until is None else min(until, self._ledger.last)

    def _send_all(self, last: int) -> None:
        for organism, position in self._positions.items():
            self._send(organism, position, last)
        for organism, round, state in self._recovery.due():
            if self._submit(organism, round, state):  # else what it lacks is due the next time
                self._recovery.sent(organism)
        self._chunks.make_again()
        if self._closed is None:
            self._chunks.send(self._writer.journaled + 1, last)

    def _send(self, organism: int, position: Position, last: int) -> None:
        round = position.round + 1
        waits = position.sent or round > last or self._recovery.needs(organism, position.round)
        # While a closed round cannot be journaled, what it brought into the archive is not on disk either.
        if not waits and self._closed is None and self._ledger.may_decide(organism, round):
            position.sent = self._submit(organism, round, position.state)

    def _submit(self, organism: int, round: int, state: Handle) -> bool:
        """Send an order if the genomes of all parents are intact; else have them made again first."""
        order = self._ledger.decision(organism, round)
        genomes = {}
        for digest in dict.fromkeys(
            digest
            for birth in order.births
            if birth.happens
            for proposal in birth.proposals
            for digest in proposal.genomes
        ):
            try:
                genomes[digest] = self._blobs.get(digest)
            except BlobError:
                self._recovery.look_for([digest])
                return False
        name = AGAIN if order.starved else ADVANCE
        job = Job(name, round, organism, (state, order, genomes), self._place(organism, round))
        self._dispatcher.submit(job, self._priority(organism, round))
        return True

    def _place(self, organism: int, round: int) -> str | None:
        census = None if round == 1 else self._ledger.census(organism, round - 1)
        kind, ledger = self._config.execution.placement, self._ledger
        return key_of(kind, organism, round, census, ledger.yardstick.ranges, ledger.centroids)

    def _priority(self, organism: int, round: int) -> tuple[float, ...]:
        """Earlier rounds go first; in a round, organisms of the largest counted FLOPs when last seen."""
        if round == 1:
            return (round, 0.0, organism)
        flops = sum(record.flops for record in self._ledger.census(organism, round - 1).records)
        return (round, -flops, organism)

    def _lose_input(self, lost: InputLost) -> None:
        """Have an organism's state made again: it was lost with its machine. Emitters have no input of that kind."""
        round, organism = lost.job.round, lost.job.organism
        position = self._positions[organism]
        if lost.job.name.startswith(SHADOW):
            self._shadows.drop(lost.job)
            return
        if lost.job.name == AUDIT:
            self._audits.end(lost.job)
            return
        self._recovery.lose_input(organism, round)
        if position.sent and round == position.round + 1:
            position.sent = False
            self._recovery.need(organism, position.round)

    def _ask_for_less(self, starved: Starved) -> None:
        """Have a round that ended for want of memory tried again, with fewer components; a second time is the end."""
        round, organism = starved.job.round, starved.job.organism
        of_a_new_round = starved.job.name == ADVANCE and self._ledger.known(organism) < round
        if not (of_a_new_round and self._ledger.starve(organism, round)):
            raise RunError(starved.error)
        self._positions[organism].sent = False

    def _take(self, done: Done) -> None:
        if done.job.name in self._takers:
            self._takers[done.job.name](done)
            return
        report: RoundReport = done.report
        census = report.census
        if done.job.name == ADVANCE and self._ledger.decision(census.organism, census.round).starved:
            return  # late, and nobody wants it any more
        key, position = (census.round, census.organism), self._positions[census.organism]
        if census.round <= self._ledger.known(census.organism):
            self._audits.compare(done.job, census, self._ledger.census(census.organism, census.round))
        else:
            self._ledger.accept(census)
            self._shadows.follow(done)
        if done.job.name == AUDIT:
            self._audits.end(done.job)
            return
        if census.round >= self._writer.journaled:
            self._answers[key] = done
        if census.round == position.round + 1:
            position.round, position.state, position.sent = census.round, done.payload, False
        elif census.round == position.round:
            position.state = done.payload
        self._recover(done)
        self._audits.follow(done, self._priority(done.job.organism, done.job.round))

    def _recover(self, done: Done) -> None:
        try:
            self._recovery.take(done, self._dispatcher.pool.fetch)
        except Gone:
            self._recovery.restart(done.job.organism)

    def _journal_rounds(self, until: int | None) -> None:
        """Close and journal what is complete; a round waits for its audits and for what was lost of it."""
        while self._writer.journaled < self._last(until):
            following = self._writer.journaled + 1
            waits = self._audits.needs(following) or self._chunks.needs(following)
            if waits or any(self._recovery.needs(o, following) for o in self._ledger.organisms):
                return
            if self._closed is None:
                if not self._ledger.complete():
                    return
                closed = self._ledger.close()
                self._closed = replace(closed, items=(*self._begins, *closed.items))
                self._begins = ()
            last = following == self._ledger.last
            answers = {o: self._answers[self._closed.round, o] for o in self._ledger.organisms}
            chunks = self._chunks.answers(following)
            if self._rescoring.due(following, last) and not self._looked_again(self._closed, answers, chunks):
                return
            if self._lose(self._writer.write(self._closed, answers, chunks, last), following):
                return
            self._chunks.forget(following)
            for organism in self._ledger.organisms:
                self._answers.pop((following - 1, organism), None)
            if self._on_round is not None:
                self._on_round(self._closed)
            self._tell(self._closed)
            self._closed = None

    def _looked_again(self, closed: Closed, answers: Mapping[int, Done], chunks: Mapping[int, Done]) -> bool:
        """Have the elites of a closed round scored again on held-out examples; return whether they all are."""
        if self._rescoring.asked(closed.round):
            finished = self._rescoring.finished(closed)
            self._closed = finished or closed
            return finished is not None
        if self._lose(self._writer.keep_genomes(closed, answers, chunks), closed.round):
            return False
        damaged = [elite.genome for elite in closed.view.elites if not self._blobs.intact(elite.genome)]
        self._recovery.look_for(damaged)
        if not damaged:
            self._rescoring.ask(closed.view, closed.round)
        return False

    def _lose(self, makers: Sequence[int], round: int) -> bool:
        """Have made again what of a round was lost, by whom it was made; return whether anything was."""
        for maker in makers:
            if maker in self._ledger.organisms:
                self._recovery.need(maker, round)
            else:
                self._chunks.again(round, maker - len(self._ledger.organisms))
        return bool(makers)

    def _keep_states(self) -> None:
        """Keep the states at the end of the last journaled round, as far as they are known."""
        journaled = self._writer.journaled
        ends = {o: done for (round, o), done in self._answers.items() if round == journaled}
        # After a move, what was done again may have come out otherwise than it is journaled.
        self._writer.keep_states({o: done for o, done in ends.items() if self._is_journaled(done)})

    def _stop(self) -> None:
        self._keep_states()
        self._writer.finish()
        raise Stopped(
            f"stopped after round {self._writer.journaled} of {self._config.rounds}, as asked; "
            f"go on with: {command('resume', self._directory.path)}"
        )

    def _note_shadow(self, round: int, organism: int, found: Any) -> None:
        self._journal.incident(moment(), SHADOWED, found, round=round, organism=organism)

    def _is_journaled(self, done: Done) -> bool:
        census: Census = done.report.census
        return census.state == self._ledger.census(census.organism, census.round).state

    def _tell(self, closed: Closed) -> None:
        self._recorder.stands(standing_of(closed, self._ledger, self._config, self._dispatcher))
        if self._report is not None:
            self._report(progress_of(closed, self._ledger, self._config))
