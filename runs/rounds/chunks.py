"""The chunks of emitters under way: sent when their parents are known, kept until their round is journaled."""

from collections.abc import Callable, Mapping

from archive_store.blobs import BlobStore
from archive_store.errors import BlobError
from qd.canonical import canonical
from qd.emitters.records import Emission, Emitted
from runs.errors import RunError
from runs.rounds.ledger import Ledger
from runs.rounds.recovery import Recovery
from runs.workers.dispatch import Dispatcher, Priority
from runs.workers.jobs import CONCEIVE, EMIT, EMIT_AGAIN, Done, Job


class Chunks:
    """Keeps account of what emitters were asked for and what came of it.

    Parameters
    ----------
    ledger
        Decides what is asked for, and takes what came of it.
    blobs
        Genomes of the parents.
    recovery
        Has genomes made again that are lost.
    dispatcher
        Sends jobs to trainers.
    audited
        Says whether what is asked for in a round, a name there, is to be done again by another worker.
    """

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        recovery: Recovery,
        dispatcher: Dispatcher,
        audited: Callable[[int, str], bool],
    ) -> None:
        self._audited = audited
        self._ledger = ledger
        self._blobs = blobs
        self._recovery = recovery
        self._dispatcher = dispatcher
        self._jobs: dict[
            tuple[int, int], Job
        ] = {}  # by round and chunk, of the rounds that are not journaled
        self._done: dict[tuple[int, int], Done] = {}
        self._lost: set[tuple[int, int]] = set()  # answered, but what they brought is gone; under way again
        self._audits: set[tuple[int, int]] = set()  # under way

    def send(self, first: int, last: int) -> None:
        """Send the emissions of rounds ``first`` to ``last`` that can be decided and were not sent yet."""
        for round in range(first, last + 1):
            if not self._ledger.may_emit(round):
                return
            for emission in self._ledger.emissions(round):
                if (round, emission.chunk) not in self._jobs:
                    self._send(emission)

    def take(self, done: Done) -> None:
        """Take an answer, and have a share of them audited.

        Raises
        ------
        RunError
            If it is the second one and differs from the first.
        """
        emitted: Emitted = done.report.emitted
        key = (done.job.round, done.job.organism)
        known = self._done.get(key)
        if known is None:
            self._ledger.accept_emitted(emitted)
        elif canonical(known.report.emitted) != canonical(emitted):
            raise RunError(
                f"chunk {key[1]} of round {key[0]} came out differently the second time; a task, family, measure or "
                "emitter gives different results for equal input"
            )
        if done.job.name == EMIT_AGAIN:
            self._audits.discard(key)
            return
        self._done[key] = done
        self._lost.discard(key)
        if known is None and self._audited(done.job.round, f"chunk {done.job.organism}"):
            self._audits.add(key)
            again = Job(EMIT_AGAIN, *key, done.job.arguments)
            self._dispatcher.submit(again, _priority(*key), avoid=done.worker)

    def answers(self, round: int) -> Mapping[int, Done]:
        """Return the answers of a complete round by chunk."""
        return {chunk: done for (of, chunk), done in self._done.items() if of == round}

    def needs(self, round: int) -> bool:
        """Return whether a chunk of a round is being emitted again, for an audit or because it was lost."""
        return any(of == round for of, _ in (*self._lost, *self._audits))

    def again(self, round: int, chunk: int) -> None:
        """Have a chunk emitted again: the genomes that it brought were lost with their machine."""
        self._lost.add((round, chunk))
        self._dispatcher.submit(self._jobs[round, chunk], _priority(round, chunk))

    def forget(self, round: int) -> None:
        """Forget a round that was journaled."""
        for kept in (self._jobs, self._done):
            for key in [key for key in kept if key[0] == round]:
                del kept[key]

    def make_again(self) -> None:
        """Send what makes lost genomes of journaled rounds again, where the parents are there."""
        for emission in self._recovery.lost_chunks():
            genomes = self._genomes(emission)
            if genomes is not None:
                job = Job(CONCEIVE, emission.round, emission.chunk, (emission, genomes))
                self._dispatcher.submit(job, _priority(emission.round, emission.chunk))
                self._recovery.sent_chunk(emission)

    def _send(self, emission: Emission) -> None:
        genomes = self._genomes(emission)
        if genomes is None:
            return
        contest = self._ledger.contest(emission.round)
        job = Job(EMIT, emission.round, emission.chunk, (emission, genomes, contest))
        self._jobs[emission.round, emission.chunk] = job
        self._dispatcher.submit(job, _priority(emission.round, emission.chunk))

    def _genomes(self, emission: Emission) -> dict[str, bytes] | None:
        """Return the encoded parents by digest; None, and they are looked for, where one is missing."""
        try:
            return {parent.genome: self._blobs.get(parent.genome) for parent in emission.parents}
        except BlobError:
            self._recovery.look_for([parent.genome for parent in emission.parents])
            return None


def _priority(round: int, chunk: int) -> Priority:
    """Return a priority after the organisms of the round and before those of the next."""
    return (round, float("inf"), chunk)
