"""SQLite connections to the journal: durable for the one writer, without side effects for readers."""

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from archive_store import durable, inside
from archive_store.errors import ForeignFileError, JournalError, WriteError
from archive_store.journal import schema

APPLICATION = 0x504C534D  # "PLSM", in the file's header
FORMAT = 1
_WAL, _ROLLBACK = "-wal", "-journal"  # how SQLite calls the files beside a database
_LARGEST = {
    "": inside.LARGEST_JOURNAL,
    _WAL: inside.LARGEST_WAL,
    _ROLLBACK: inside.LARGEST_WAL,
    "-shm": 1 << 30,
}
_CHUNK = 1 << 20  # bytes that are copied at once
_BUSY = 60.0  # seconds to wait for another connection's lock
_DISK = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
_TAKEN = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the system into a `JournalError` or `WriteError` that names the file."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # SQLite's messages can quote damaged bytes
        if _kind(error) in _DISK:
            raise WriteError(path, str(error), _kind(error) == sqlite3.SQLITE_FULL) from error
        remedy = "close the program that uses it" if _kind(error) in _TAKEN else "restore it from a copy"
        raise JournalError(f"journal {path} cannot be used: {error}; {remedy}") from None


def create(path: Path) -> sqlite3.Connection:
    """Make a new journal file with its tables for writing: WAL, or DELETE mode on a network file system.

    Raises
    ------
    JournalError
        If there is a file already.
    """
    if path.exists():
        raise JournalError(f"journal {path} exists already; a journal is written once: choose another folder")
    with explained(path):
        connection = _connect(path, "mode=rwc")
        with _closed_on_error(connection):
            _set_mode(connection, path)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.executescript(f"BEGIN; {schema.SCHEMA} COMMIT;")
    return connection


def writing(path: Path) -> sqlite3.Connection:
    """Open a journal to go on writing it."""
    with _opened(path):
        connection = _checked(_connect(path, "mode=rw"), path)
        with _closed_on_error(connection):
            _set_mode(connection, path)
    return connection


def reading(path: Path) -> sqlite3.Connection:
    """Open a journal to read it, live or finished, without writing anything beside it.

    A live or crashed WAL is read through its existing shared memory. Where reading in place would need
    recovery, and so writing, a private copy is read, which nothing is left of: it has no name any more.
    """
    with _opened(path):
        try:
            return _checked(_connect(path, _reading_options(path)), path)
        except sqlite3.OperationalError:  # needs recovery; with a live writer it never does
            return _reading_copy(path)


def room(path: Path) -> int:
    """Return how many bytes a journal takes up, with its WAL."""
    found = 0
    for suffix in ("", _WAL):
        with suppress(OSError):
            found += os.lstat(_beside(path, suffix)).st_size
    return found


def _reading_copy(path: Path) -> sqlite3.Connection:
    with tempfile.TemporaryDirectory(prefix="plasmodia-journal-") as folder:
        copy = Path(folder) / path.name
        for suffix in ("", _WAL, _ROLLBACK):
            with suppress(FileNotFoundError):
                _copy(_beside(path, suffix), _beside(copy, suffix), _LARGEST[suffix])
        recovered = _connect(copy, "mode=rw")
        with _closed_on_error(recovered):
            _check(recovered, path)
            recovered.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            recovered.execute("PRAGMA journal_mode = DELETE")
        recovered.close()
        # One file now, which stays open without its name: nothing is left, however this process ends.
        return _checked(_connect(copy, "mode=ro&immutable=1"), path)


def _copy(path: Path, copy: Path, most: int) -> None:
    with inside.opened(path.parent, path, most) as source, copy.open("xb") as target:
        while data := os.read(source, _CHUNK):
            target.write(data)


def leave_wal(connection: sqlite3.Connection, path: Path, patience: float = _BUSY) -> None:
    """Move everything into the main file and out of WAL, so that the journal is one file.

    Parameters
    ----------
    connection
        The writer's.
    path
        The journal, for messages.
    patience
        Seconds to wait for readers to close: SQLite refuses at once while there is one.

    Raises
    ------
    JournalError
        If there is still a reader after that. Nothing is lost.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode = DELETE")
            return
        except sqlite3.OperationalError as error:
            if _kind(error) not in _TAKEN:
                raise
            if time.monotonic() >= deadline:
                message = f"journal {path} is complete but cannot become a single file: {error}"
                raise JournalError(f"{message}; close the program that reads it and resume the run") from None
            time.sleep(0.01)


def _connect(path: Path, options: str) -> sqlite3.Connection:
    # isolation_level=None: transactions begin and end where we say, not where the module guesses.
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path.resolve()))}?{options}", uri=True, isolation_level=None, timeout=_BUSY
    )
    # Damaged text is read as other text, not refused: then the chain can say which event it is.
    connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
    return connection


def _set_mode(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute(f"PRAGMA journal_mode = {'DELETE' if durable.on_network(path) else 'WAL'}")
    # FULL would do for WAL; in DELETE mode, and on leaving WAL, a commit is only certain when the folder is
    # synchronised after the rollback journal was removed from it.
    connection.execute("PRAGMA synchronous = EXTRA")


def _kind(error: Exception) -> int | None:
    """Return SQLite's primary result code, or None of another error."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_READONLY_DBMOVED:  # renamed while it is written: no damage
        return sqlite3.SQLITE_CANTOPEN
    return None if code is None else code & 0xFF


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _reading_options(path: Path) -> str:
    if _beside(path, _WAL).exists():
        return "mode=ro&readonly_shm=1"
    with path.open("rb") as file:
        header = file.read(20)
    # A closed WAL database has no WAL beside it; opened plainly, SQLite would create one.
    return "mode=ro&immutable=1" if header[18:20] == b"\x02\x02" else "mode=ro"


def _look(path: Path) -> None:
    """Refuse what is no plain file before SQLite opens it, or one of the files beside it."""
    for suffix, most in _LARGEST.items():
        try:
            inside.look(path.parent, _beside(path, suffix), most)
        except FileNotFoundError:
            if not suffix:
                raise JournalError(f"there is no journal {path}; give the folder of a run") from None
        except ForeignFileError as error:
            raise JournalError(f"journal {error}") from None


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    with explained(path):
        _look(path)
        yield


def _checked(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    with _closed_on_error(connection):
        _check(connection, path)
    return connection


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        raise JournalError(f"{path} is an SQLite file but no journal of a run; give the folder of a run")
    if version != FORMAT:
        raise JournalError(
            f"journal {path} has format {version}, this version reads {FORMAT}; use the version that wrote it"
        )
    schema.check(connection, path)
