"""Commits of closed rounds: genomes and states in the blob store, then one transaction of the journal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from archive_store.blobs import BlobStore
from archive_store.journal.chain import numbered, round_digest
from archive_store.journal.journal import KEPT_STATES, Journal, Timing
from runs.rounds.ledger import Closed
from runs.rounds.timekeeping import Timekeeper, incident_of, memory_of
from runs.workers.jobs import Done, Gone, Handle


class RoundWriter:
    """Commits rounds in their order.

    Parameters
    ----------
    checkpoint_every
        Rounds after which states are kept.
    blobs, journal
        Where the run is kept.
    fetch
        Brings states and genomes from where they were made.
    times
        For the journal's timings alone.
    journaled
        The last round that was written, as far as the writer is concerned.
    """

    def __init__(
        self,
        checkpoint_every: int,
        blobs: BlobStore,
        journal: Journal,
        fetch: Callable[[Handle], Any],
        times: Timekeeper,
        journaled: int,
    ) -> None:
        self._every = checkpoint_every
        self._blobs = blobs
        self._journal = journal
        self._fetch = fetch
        self._times = times
        self.journaled = journaled

    def write(
        self, closed: Closed, answers: Mapping[int, Done], chunks: Mapping[int, Done], last: bool
    ) -> list[int]:
        """Write a round, durably, unless something of it was lost.

        Parameters
        ----------
        closed
            The round.
        answers
            The answers of its organisms' jobs, by organism.
        chunks
            Those of its emitters' jobs, by chunk.
        last
            Whether the run ends with it.

        Returns
        -------
        list of int
            The organisms whose states or genomes were lost with their machine, and likewise chunks, counted on from the
            number of organisms; where there are any, nothing is written.
        """
        self._times.begin()
        keeps = last or closed.round % self._every == 0
        states, gone = self._fetched({o: done.payload for o, done in answers.items() if keeps})
        lost = sorted({*gone, *self.keep_genomes(closed, answers, chunks)})
        if lost:
            return lost
        kept, done = self._put(states), [*answers.values(), *chunks.values()]
        timings, memory = self._times.timings(answers, chunks), memory_of(done)
        self._commit(closed, kept, timings, memory)
        if keeps:
            forget_old_states(self._journal, self._blobs)
        self._times.end(closed.round, timings, memory)
        return []

    def finish(self) -> None:
        """Write what was known only after the last round was written."""
        late = self._times.late()
        if late:
            self._journal.write_timings(self.journaled, late)

    def keep_genomes(
        self, closed: Closed, answers: Mapping[int, Done], chunks: Mapping[int, Done]
    ) -> list[int]:
        """Store the genomes that a round put into the archive, before it is written.

        Parameters
        ----------
        closed, answers, chunks
            As in `write`.

        Returns
        -------
        list of int
            Who lost theirs, as in `write`; where there are any, nothing is stored.
        """
        won, makers = _won(closed), _makers(answers, chunks)
        genomes, gone = self._fetched({maker: makers[maker].genomes for maker in won})
        if not gone:
            self._blobs.put_all(
                genomes[maker][digest] for maker, digests in won.items() for digest in digests
            )
        return sorted(gone)

    def keep_states(self, answers: Mapping[int, Done]) -> None:
        """Keep the states at the end of the last round that was written, as far as they are still there."""
        states, _ = self._fetched({organism: done.payload for organism, done in answers.items()})
        self._journal.write_states(self.journaled, self._put(states))

    def _fetched(self, handles: Mapping[int, Handle]) -> tuple[dict[int, Any], list[int]]:
        """Fetch what there is, by organism, and name the organisms for which it was lost."""
        there: dict[int, Any] = {}
        gone = []
        for organism, handle in handles.items():
            try:
                there[organism] = self._fetch(handle)
            except Gone:
                gone.append(organism)
        return there, gone

    def _put(self, states: Mapping[int, bytes]) -> dict[int, str]:
        return dict(zip(states, self._blobs.put_all(states.values()), strict=True))

    def _commit(
        self,
        closed: Closed,
        states: Mapping[int, str],
        timings: Sequence[Timing],
        memory: Mapping[str, int],
    ) -> None:
        events = numbered(closed.round, closed.items)
        digest = round_digest(self._journal.digest(), events)
        told = [incident_of(closed.round, memory)]
        self._journal.write_round(closed.round, events, states, timings, digest, told)
        self.journaled = closed.round


def forget_old_states(journal: Journal, blobs: BlobStore) -> None:
    """Remove the states that are older than an organism's last checkpoints."""
    kept: dict[int, int] = {}
    for state in journal.states():  # by organism, newest first
        kept[state.organism] = kept.get(state.organism, 0) + 1
        if kept[state.organism] > KEPT_STATES:
            blobs.remove(state.digest)


def _makers(answers: Mapping[int, Done], chunks: Mapping[int, Done]) -> dict[int, Done]:
    return {**answers, **{len(answers) + chunk: done for chunk, done in chunks.items()}}


def _won(closed: Closed) -> dict[int, list[str]]:
    """Return the genomes of the round's own elites by who made them."""
    won: dict[int, list[str]] = {}
    for maker, digest in closed.genomes:
        won.setdefault(maker, []).append(digest)
    return won
