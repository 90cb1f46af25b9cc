"""Everything that a run does to its files, noted down: the store's own calls, and SQLite's through an `apsw` VFS."""

import itertools
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import apsw

from archive_store import durable
from tests.faults.power_cuts import Log

_NUMBERS = itertools.count()  # a VFS has a name of its own in the process
# SQLite's VFS for Unix synchronises the folder when it first synchronises one of these (os_unix.c, unixSync).
_SYNCED_WITH_THEIR_FOLDER = (
    apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL
)


@contextmanager
def recorded(log: Log) -> Iterator[None]:
    """Write down what is done below the log's root; SQLite is that of `apsw`."""
    vfs = _Vfs(log, f"recorded-{next(_NUMBERS)}")

    def connect(place: str, **options: Any) -> "Connection":
        return Connection(apsw.Connection(place, vfs=vfs.vfs_name, flags=_FLAGS))

    try:
        with mock.patch.object(durable, "os", _System(log)), mock.patch("sqlite3.connect", connect):
            yield
    finally:
        vfs.unregister()


_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI


class Connection:
    """What the journal uses of `sqlite3.Connection`, of a connection of `apsw`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, statement: str, values: Sequence[Any] = ()) -> "_Rows":
        with _translated():
            return _Rows(list(self._connection.execute(statement, values)))

    def executemany(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        with _translated():
            self._connection.executemany(statement, values)

    def executescript(self, script: str) -> None:
        self.execute(script)

    def set_progress_handler(self, look: Any, steps: int) -> None:
        """Queries of these tests end."""

    def close(self) -> None:
        self._connection.close()


class _Rows:
    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raised = sqlite3.OperationalError(str(error))
        raised.sqlite_errorcode = error.result
        raise raised from error


class _System:
    """The module `os`, noting what changes files."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._open: dict[int, tuple[int, int]] = {}  # by descriptor: file and place in it

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = os.open(path, flags, mode)
        inode = self._log.create(path)
        if flags & os.O_TRUNC:
            self._log.truncate(inode, 0)
        self._open[descriptor] = (inode, 0)
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        count = os.write(descriptor, data)
        inode, offset = self._open[descriptor]
        self._log.write(inode, offset, bytes(data[:count]))
        self._open[descriptor] = (inode, offset + count)
        return count

    def fsync(self, descriptor: int) -> None:
        self._log.sync(self._open[descriptor][0])

    def replace(self, old: Path, new: Path) -> None:
        os.replace(old, new)
        self._log.rename(old, new)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)
        self._log.rename(old, new)

    def unlink(self, path: Path) -> None:
        os.unlink(path)
        self._log.unlink(path)

    def mkdir(self, path: Path) -> None:
        os.mkdir(path)
        self._log.create(path, is_folder=True)


class _Vfs(apsw.VFS):
    def __init__(self, log: Log, name: str) -> None:
        super().__init__(name, base="")
        self.vfs_name = name
        self._log = log

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or not self._log.covers(path):
            return apsw.VFSFile("", name, flags)
        return _File(self._log, path, name, flags)

    def xDelete(self, path: str, folder_too: bool) -> None:
        super().xDelete(path, folder_too)
        self._log.unlink(Path(path))
        if folder_too:
            self._log.sync(self._log.inode(Path(path).parent))


class _File(apsw.VFSFile):
    def __init__(self, log: Log, path: str, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._log = log
        self._inode = log.create(Path(path))
        self._folder = log.inode(Path(path).parent) if flags[0] & _SYNCED_WITH_THEIR_FOLDER else None

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._log.write(self._inode, offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._log.truncate(self._inode, size)

    def xSync(self, flags: int) -> None:
        self._log.sync(self._inode)
        if self._folder is not None:
            self._log.sync(self._folder)
            self._folder = None
