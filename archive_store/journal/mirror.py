"""A private journal that follows another one, so that whoever reads much of a run does not keep its writer waiting.

While a journal is read, its writer can add rounds to it, but not turn it into the one file that it is in the end. So
rounds are copied, a few at a time, and then read from the copy for as long as that takes.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from archive_store.journal import bounded, connection
from archive_store.journal.journal import BASE

ROUNDS = 20  # that are copied at once
_TABLES = {
    "round": "round, digest",
    "event": "round, seq, organism, kind, body, mark",
    "timing": "round, organism, name, seconds, worker",
    "incident": "at, round, organism, kind, body",
}


class Mirror:
    """A copy of a journal's rounds, without its checkpoints, and with those incidents of a round that came before it.

    Parameters
    ----------
    source
        The journal, which is only read.
    place
        The copy, which is made when it is first needed.
    """

    def __init__(self, source: Path, place: Path) -> None:
        self.source, self.place = source, place

    def follow(self) -> int | None:
        """Copy the rounds that are new, or all where the journal is another one now; return the last round.

        Raises
        ------
        JournalError
            If the journal cannot be read.
        """
        with connection.explained(self.source):
            while not self._is_up_to_date():
                pass
            with closing(connection.reading(self.place)) as copy:
                return _last(copy)

    def _is_up_to_date(self) -> bool:
        """Copy what is next, and return whether that was all; between two times the journal is closed."""
        with closing(connection.reading(self.source)) as source:
            if not self.place.exists() or not self._continues(source):
                self._begin(source)
            with closing(connection.writing(self.place)) as copy:
                copy.execute("PRAGMA synchronous = OFF")  # it can be made again
                last, newest = _last(copy), _last(source)
                if newest is None or (last is not None and last >= newest):
                    return True
                after = -1 if last is None else last
                self._add(source, copy, after)
                return newest <= after + ROUNDS

    def _continues(self, source: sqlite3.Connection) -> bool:
        with closing(connection.reading(self.place)) as copy:
            last = _last(copy)
            ours, theirs = (
                (_base(each), each.execute("SELECT digest FROM round WHERE round = ?", (last,)).fetchall())
                for each in (copy, source)
            )
        return ours == theirs

    def _begin(self, source: sqlite3.Connection) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.place.with_name(self.place.name + suffix).unlink(missing_ok=True)
        rows = bounded.rows(source, "SELECT key, value FROM meta", (), connection.room(self.source))
        with closing(connection.create(self.place)) as copy:
            copy.executemany("INSERT INTO meta VALUES (?, ?)", rows)

    def _add(self, source: sqlite3.Connection, copy: sqlite3.Connection, after: int) -> None:
        room = connection.room(self.source)
        copy.execute("BEGIN")
        for table, columns in _TABLES.items():
            query = f"SELECT {columns} FROM {table} WHERE round > ? AND round <= ?"
            rows = bounded.rows(source, query, (after, after + ROUNDS), room)
            places = ", ".join("?" * len(columns.split(",")))
            copy.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
        copy.execute("COMMIT")


def _last(database: sqlite3.Connection) -> int | None:
    last = database.execute("SELECT max(round) FROM round").fetchone()[0]
    return last if isinstance(last, int) else None


def _base(database: sqlite3.Connection) -> list[tuple[object]]:
    return database.execute("SELECT value FROM meta WHERE key = ?", (BASE,)).fetchall()
