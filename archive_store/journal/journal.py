"""The journal: the events of a run, round by round, in one SQLite file with one writer."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any

from archive_store.errors import JournalError
from archive_store.journal import bounded, chain, connection
from archive_store.journal.chain import Event, round_digest
from archive_store.journal.values import Moved, values
from qd.canonical import canonical

Kinds = tuple[type | tuple[type, ...], ...]  # of the columns of a query

_EVENT: Kinds = (int, int, (int, NoneType), str, str)
KEPT_STATES = 2  # checkpoints per organism whose blobs stay on disk while the run goes on
BASE = "base"  # meta key of the text that round 0 is chained to
SCORE_NAME = "score_name"  # meta key of how the task calls its score
WALL = "wall"  # name of the timing of the whole run: seconds since the commit before, or since the start
ENVIRONMENT = "environment"  # kind of the event that begins the first round in another environment
SHADOWED = "shadow"  # kind of the incident that holds what came of a shadow of a birth


@dataclass(frozen=True, slots=True)
class State:
    """Which blob holds an organism as it was at the end of a round."""

    organism: int
    round: int
    digest: str  # of the blob


@dataclass(frozen=True, slots=True)
class Timing:
    """How long something took; no digest covers it."""

    organism: int | None  # None for the whole run
    name: str
    seconds: float
    worker: str
    round: int | None = None  # None: the round with which it is written


@dataclass(frozen=True, slots=True)
class Incident:
    """A retry, a resume, what came of a shadow: no digest covers it."""

    at: str  # wall-clock time in ISO 8601
    round: int | None
    organism: int | None
    kind: str
    body: str  # canonical JSON


class Journal:
    """An open journal: made by `create` or `open`, closed by `close` or as a context manager.

    Every method raises `JournalError` when the file is damaged or locked for too long, and `WriteError` when
    the disk is full or fails.
    """

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self.path = path
        self._database = database

    @classmethod
    def create(cls, path: Path) -> "Journal":
        """Make a new journal, open for writing; refuses an existing file."""
        return cls(path, connection.create(path))

    @classmethod
    def open(cls, path: Path, readonly: bool = False) -> "Journal":
        """Open a journal to read it (nothing is written beside it) or to go on writing it."""
        return cls(path, connection.reading(path) if readonly else connection.writing(path))

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._database.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put_meta(self, key: str, value: str) -> None:
        """Store a text under a key, replacing any other."""
        with self._transaction():
            self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def meta(self, key: str) -> str | None:
        """Return the text under a key, or None."""
        rows = self._rows((str,), "SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def write_round(
        self,
        round: int,
        events: Sequence[Event],
        states: Mapping[int, str],
        timings: Sequence[Timing],
        digest: str,
        incidents: Sequence[Incident] = (),
    ) -> None:
        """Commit one round in one transaction: durable when this returns, and without a trace if it raises.

        Parameters
        ----------
        round
            The one after the last committed; 0 for the first, before which ``base`` must be in `meta`.
        events
            All of the round, numbered from 0 (`archive_store.journal.chain.numbered`).
        states
            Digest of the state blob for each organism whose state is kept this round.
        timings
            Any durations, in seconds; those without a ``round`` are of this one.
        incidents
            What else is known of the round and no digest covers.
        digest
            ``round_digest`` of the round before (or of ``base``) and the events.

        Raises
        ------
        JournalError
            If the round, the numbering or the digest does not continue the journal.
        """
        with self._transaction():
            self._check_continues(round, events, digest)
            insert = self._database.executemany
            self._database.execute("INSERT INTO round VALUES (?, ?)", (round, digest))
            insert(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (event.round, event.seq, event.organism, event.kind, event.body, event.mark)
                    for event in events
                ],
            )
            insert(
                "INSERT INTO state VALUES (?, ?, ?)", [(key, round, state) for key, state in states.items()]
            )
            self._insert_timings(round, timings)
            insert(
                "INSERT INTO incident VALUES (?, ?, ?, ?, ?)",
                [(each.at, each.round, each.organism, each.kind, each.body) for each in incidents],
            )

    def write_timings(self, round: int, timings: Sequence[Timing]) -> None:
        """Record durations that were known only after their round was committed."""
        with self._transaction():
            self._insert_timings(round, timings)

    def write_states(self, round: int, states: Mapping[int, str]) -> None:
        """Record the digests of the states that are kept of a committed round, by organism."""
        with self._transaction():
            rows = [(organism, round, digest) for organism, digest in states.items()]
            self._database.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", rows)

    def rounds(self) -> dict[int, str]:
        """Return the digest of every committed round, in order."""
        return dict(self._rows((int, str), "SELECT round, digest FROM round ORDER BY round"))

    def last_round(self) -> int | None:
        """Return the last committed round, or None before round 0."""
        rows = self._rows(((int, NoneType),), "SELECT max(round) FROM round")
        return rows[0][0]

    def digest(self, round: int | None = None) -> str:
        """Return the digest of a round, by default of the last.

        Raises
        ------
        JournalError
            If the round was not committed.
        """
        last = self.last_round()
        wanted = last if round is None else round
        rows = self._rows((str,), "SELECT digest FROM round WHERE round = ?", (wanted,))
        if not rows:
            have = "none is committed" if last is None else f"0 to {last} are committed"
            raise JournalError(f"journal {self.path} has no round {wanted}; {have}")
        return rows[0][0]

    def events(
        self,
        round: int | None = None,
        kind: str | None = None,
        until: int | None = None,
        after: int | None = None,
    ) -> Iterator[Event]:
        """Return the events by round and position.

        Parameters
        ----------
        round
            Only of this round; None: of any.
        kind
            Only of this kind (`archive_store.journal.chain.Event`); None: of any.
        until
            Only up to this round; None: all.
        after
            Only after this round; None: all.
        """
        wanted = [("round = ?", round), ("kind = ?", kind), ("round <= ?", until), ("round > ?", after)]
        conditions = " AND ".join(text for text, value in wanted if value is not None) or "1"
        values = tuple(value for _, value in wanted if value is not None)
        query = f"SELECT round, seq, organism, kind, body FROM event WHERE {conditions} ORDER BY round, seq"
        return (Event(*row) for row in self._rows(_EVENT, query, values))

    def states(self, organism: int | None = None) -> list[State]:
        """Return the kept states of one organism, or of all, by organism and newest first."""
        condition, values = ("", ()) if organism is None else ("WHERE organism = ?", (organism,))
        query = f"SELECT organism, round, digest FROM state {condition} ORDER BY organism, round DESC"
        return [State(*row) for row in self._rows((int, int, str), query, values)]

    def elite_genomes(self) -> list[str]:
        """Return the digest of the genome of every elite after the last round, by cell."""
        return [row[0] for row in self._rows((str,), "SELECT genome FROM elite ORDER BY cell")]

    def moves(self) -> dict[int, list[str]]:
        """Return the first round in each further environment that was accepted, and what was different there."""
        events = list(self.events(kind=ENVIRONMENT))
        found = zip(events, values(events, Moved), strict=True)
        return {event.round: list(moved.differences) for event, moved in found}

    def timings(self, since: int = 0, names: Sequence[str] | None = None) -> list[Timing]:
        """Return durations by round, from a round on; those of some names, or all."""
        kinds = ((int, NoneType), str, float, str, int)
        wanted = "" if names is None else f" AND name IN ({', '.join('?' for _ in names)})"
        query = (
            f"SELECT organism, name, seconds, worker, round FROM timing WHERE round >= ?{wanted} "
            "ORDER BY round, rowid"
        )
        rows = self._rows(kinds, query, (since, *(names or ())))
        return [Timing(*row) for row in rows]

    def incident(
        self, at: str, kind: str, body: Any, round: int | None = None, organism: int | None = None
    ) -> None:
        """Record a retry, a resume or a change of environment.

        Parameters
        ----------
        at
            When it happened: a time in ISO 8601.
        kind
            What it was, in a word.
        body
            The details, anything that `qd.canonical.canonical` writes.
        round, organism
            What it concerns; None: the whole run.
        """
        with self._transaction():
            values = (at, round, organism, kind, canonical(body))
            self._database.execute("INSERT INTO incident VALUES (?, ?, ?, ?, ?)", values)

    def incidents(self, kind: str | None = None) -> list[Incident]:
        """Return the incidents of a kind, or all, in the order in which they were recorded."""
        kinds = (str, (int, NoneType), (int, NoneType), str, str)
        wanted, values = ("", ()) if kind is None else (" WHERE kind = ?", (kind,))
        query = f"SELECT at, round, organism, kind, body FROM incident{wanted} ORDER BY rowid"
        rows = self._rows(kinds, query, values)
        return [Incident(*row) for row in rows]

    def verify_chain(self) -> None:
        """Recompute every digest from the stored bodies.

        Raises
        ------
        ChainError
            Names the first event, or else the first round, that is not as it was written.
        """
        with self.snapshot():
            marks = [row[0] for row in self._rows((str,), "SELECT mark FROM event ORDER BY round, seq")]
            chain.verify(self._base(), self.rounds(), list(self.events()), marks)

    def verify_form(self) -> None:
        """Let SQLite check that tables and indexes agree.

        Raises
        ------
        JournalError
            Names the first thing that is wrong.
        """
        found = self._rows((str,), "PRAGMA integrity_check(1)")
        if found != [("ok",)]:
            raise JournalError(f"journal {self.path} is damaged: {found[0][0]}; restore it from a copy")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read the journal as it is now, whatever its writer adds meanwhile: one transaction."""
        if self._database.in_transaction:
            yield
            return
        self._execute("BEGIN")
        try:
            yield
        finally:
            if self._database.in_transaction:  # a damaged file may have ended it
                self._execute("COMMIT")

    def finish(self, patience: float = 60.0) -> None:
        """Turn the journal into one file that does not change any more, and close it.

        Waits up to `patience` seconds for readers to close.
        """
        with connection.explained(self.path):
            connection.leave_wal(self._database, self.path, patience)
        self.close()

    def _insert_timings(self, round: int, timings: Sequence[Timing]) -> None:
        self._database.executemany(
            "INSERT INTO timing VALUES (?, ?, ?, ?, ?)",
            [
                (
                    round if timing.round is None else timing.round,
                    timing.organism,
                    timing.name,
                    float(timing.seconds),
                    timing.worker,
                )
                for timing in timings
            ],
        )

    def _base(self) -> str:
        base = self.meta(BASE)
        if base is None:
            raise JournalError(
                f"journal {self.path} has no {BASE!r}; put_meta({BASE!r}, text) comes before round 0"
            )
        return base

    def _check_continues(self, round: int, events: Iterable[Event], digest: str) -> None:
        last = self.last_round()
        expected = 0 if last is None else last + 1
        if round != expected:
            raise JournalError(f"journal {self.path} goes on with round {expected}, not {round}")
        events = list(events)
        for seq, event in enumerate(events):
            if (event.round, event.seq) != (round, seq):
                found = f"round {event.round}, event {event.seq}"
                raise JournalError(f"expected round {round}, event {seq} but got {found}; use chain.numbered")
        wanted = round_digest(self._base() if last is None else self.digest(last), events)
        if digest != wanted:
            raise JournalError(
                f"round {round} was given digest {digest}, its events have {wanted}; use chain.round_digest"
            )

    def _rows(self, kinds: Kinds, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run a query whose columns are of these types: a damaged file can hold anything anywhere."""
        rows = self._execute(query, values)
        for row in rows:
            if not all(map(isinstance, row, kinds)):
                raise JournalError(
                    f"journal {self.path} holds a row of other types than it was written with: {row!r:.80}; "
                    "restore it from a copy"
                )
        return rows

    def _execute(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with connection.explained(self.path):
            return bounded.rows(self._database, query, values, connection.room(self.path))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with connection.explained(self.path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
