"""Recovery of what was lost: rounds of single organisms are done again, from the newest intact checkpoint on.

Training is a pure function of a state and an order, and orders follow from the journal. So a state that was
lost with its machine, or a genome whose file is damaged, costs only time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from archive_store.blobs import BlobStore
from archive_store.errors import BlobError
from archive_store.journal.journal import Journal
from archive_store.journal.values import values
from qd.emitters.records import Emission
from qd.records import Outcome
from runs.errors import RunError
from runs.workers.jobs import Done, Gone, Handle


@dataclass(slots=True)
class Position:
    """How far an organism is: its round, its state at the end of it, and whether its next order is under way."""

    round: int = 0
    state: Handle = None  # None: to be founded
    sent: bool = False


class Recovery:
    """Keeps account of the rounds that are to be done again, apart from the organisms' own progress.

    Parameters
    ----------
    blobs, journal
        Of the run: genomes and states, and the rounds that made them.
    organisms
        Of the population; components of higher numbers are children of emitters.
    first
        Round at whose end these settings begin: 0, or the end of a segment before. What is older cannot be made again.
    """

    def __init__(self, blobs: BlobStore, journal: Journal, organisms: int, first: int = 0) -> None:
        self._blobs = blobs
        self._journal = journal
        self._organisms = organisms
        self._first = first
        self._chunks: dict[
            tuple[int, int], bool
        ] = {}  # round and chunk to be made again; whether it is under way
        self._rounds: dict[int, set[int]] = {}  # to be done again, by organism
        self._genomes: dict[tuple[int, int], set[str]] = {}  # to be stored again, by organism and round
        self._positions: dict[int, Position] = {}

    @property
    def needed(self) -> bool:
        """Whether anything is still to be made again."""
        return bool(self._rounds or self._chunks)

    def needs(self, organism: int, round: int) -> bool:
        """Return whether an organism's round is to be done again."""
        return round in self._rounds.get(organism, ())

    def checkpoint(self, organism: int, until: int) -> tuple[int, bytes | None]:
        """Return round and state of an organism's newest intact checkpoint up to a round; (0, None) without one.

        Raises
        ------
        RunError
            If there is none since the settings begin.
        """
        for stored in self._journal.states(organism):  # the newest first
            if not self._first <= stored.round <= until:
                continue
            try:
                return stored.round, self._blobs.get(stored.digest)
            except BlobError:  # missing or damaged: an older one leads to the same end
                continue
        if self._first:
            raise RunError(
                f"no state of organism {organism} after rounds {self._first} to {until} is intact, and what came "
                "before was made under other settings; restore the blobs from a copy"
            )
        return 0, None

    def need(self, organism: int, round: int) -> None:
        """Have an organism's round done again, for the state and genomes at its end."""
        self._rounds.setdefault(organism, set()).add(round)

    def look_for(self, genomes: Iterable[str]) -> None:
        """Have those of these genomes made again whose files are missing or damaged.

        Raises
        ------
        RunError
            If the journal does not say whose genome it is.
        """
        damaged = [digest for digest in genomes if not self._blobs.intact(digest)]
        if not damaged:
            return
        makers = self._makers()
        for digest in damaged:
            if digest not in makers:
                raise RunError(
                    f"blob {self._blobs.path(digest)} is missing or damaged, and the journal does not say what "
                    "made it; restore the file from a copy"
                )
            organism, round = makers[digest]
            self._genomes.setdefault((organism, round), set()).add(digest)
            if organism < self._organisms:
                self.need(organism, round)
            else:
                self._chunks.setdefault((round, organism - self._organisms), False)

    def due(self) -> list[tuple[int, int, Handle]]:
        """Return organism, round and state of the orders that are to be sent again now."""
        orders = []
        for organism in sorted(self._rounds):
            position = self._position(organism)
            if not position.sent:
                orders.append((organism, position.round + 1, position.state))
        return orders

    def sent(self, organism: int) -> None:
        """Note that an organism's due order is under way."""
        self._positions[organism].sent = True

    def lose_input(self, organism: int, round: int) -> None:
        """Note that an order could not begin; if it was one of these, its state was lost again."""
        position = self._positions.get(organism)
        if position is not None and position.sent and position.round + 1 == round:
            self.restart(organism)

    def restart(self, organism: int) -> None:
        """Begin an organism's recovery again from its checkpoint: the state that it had reached was lost too."""
        self._positions.pop(organism, None)

    def take(self, done: Done, fetch: Callable[[Handle], Any]) -> None:
        """Take an answer: store the genomes that were looked for, and go on to the next round.

        Raises
        ------
        Gone
            If the genomes were lost again.
        RunError
            If the round has other genomes now.
        """
        organism, round = done.job.organism, done.job.round
        wanted = self._genomes.get((organism, round))
        if wanted:
            self._store(done, wanted, fetch(done.genomes))
            del self._genomes[organism, round]
        position = self._positions.get(organism)
        if position is not None and position.round + 1 == round:
            self._positions[organism] = Position(round, done.payload)
        rounds = self._rounds.get(organism, set())
        rounds.discard(round)
        if not rounds:
            self._rounds.pop(organism, None)
            self._positions.pop(organism, None)

    def lost_chunks(self) -> list[Emission]:
        """Return the emissions whose children are to be made again and that are not under way."""
        wanted = [key for key, sent in self._chunks.items() if not sent]
        return [
            emission
            for round in sorted({round for round, _ in wanted})
            for emission in values(self._journal.events(round, "emission"), Emission)
            if (round, emission.chunk) in wanted
        ]

    def sent_chunk(self, emission: Emission) -> None:
        """Note that children are being made again."""
        self._chunks[emission.round, emission.chunk] = True

    def take_chunk(self, done: Done, fetch: Callable[[Handle], Any]) -> None:
        """Take children that were made again: store the genomes that were looked for.

        Raises
        ------
        RunError
            If they have other genomes now.
        """
        round, chunk = done.job.round, done.job.organism
        try:
            genomes = fetch(done.genomes)
        except Gone:
            self._chunks[round, chunk] = False
            return
        self._store(done, self._genomes.pop((self._organisms + chunk, round)), genomes)
        del self._chunks[round, chunk]

    def _position(self, organism: int) -> Position:
        rounds, position = self._rounds[organism], self._positions.get(organism)
        if position is None or (not position.sent and position.round >= min(rounds)):
            position = self._positions[organism] = Position(*self.checkpoint(organism, min(rounds) - 1))
        return position

    def _makers(self) -> dict[str, tuple[int, int]]:
        """Return organism and round that made each genome that ever won a cell."""
        outcomes = values(self._journal.events(kind="outcome"), Outcome)
        return {
            one.candidate.genome: (one.candidate.component.organism, one.candidate.round) for one in outcomes
        }

    def _store(self, done: Done, wanted: set[str], genomes: dict[str, bytes]) -> None:
        for digest in sorted(wanted):
            if digest not in genomes:
                raise RunError(
                    f"genome {digest} is lost: its file is missing or damaged, and the {done.job} which made it, "
                    f"comes out differently here; restore "
                    f"{self._blobs.path(digest)} from a copy"
                )
        self._blobs.put_all(genomes[digest] for digest in sorted(wanted))
