"""A file system and a database that fail at the n-th operation: everything that the store writes goes through here.

Operations are the system calls of `archive_store.durable` and the statements that the journal gives to SQLite
(a script counts as its statements), in the order in which a run makes them. Where a write fails, half of it is
done.
"""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest import mock

from archive_store import durable

CALLS = frozenset({"fsync", "mkdir", "open", "rename", "replace", "unlink", "write"})
LATE = frozenset({"COMMIT", "fsync", "mkdir", "rename", "replace", "unlink"})  # can fail when they are done
CRASHED = 77  # exit status of a process that stopped at its operation


class Disk(NamedTuple):
    """What is wrong with a disk: how the system says so, and how SQLite does."""

    errno: int
    code: int
    told: str


FULL = Disk(errno.ENOSPC, sqlite3.SQLITE_FULL, "database or disk is full")
FAILING = Disk(errno.EIO, sqlite3.SQLITE_IOERR, "disk I/O error")


@dataclass(slots=True)
class Operations:
    """Counts operations and lets one of them fail.

    Parameters
    ----------
    at
        Number of the operation that fails; 0 for none.
    fault
        Raises or does not come back.
    mode
        ``once``: that operation alone; ``lasting``: and all that follow; ``late``: that one, after it was done
        (only for those in `LATE`).
    """

    at: int = 0
    fault: Callable[[str], None] = lambda name: None
    mode: str = "once"
    names: list[str] = field(default_factory=list)

    def do(self, name: str, act: Callable[[], Any], half: Callable[[], Any] = lambda: None) -> Any:
        """Do an operation, or half of it and then what the fault says."""
        self.names.append(name)
        number = len(self.names)
        fails = number == self.at or (self.mode == "lasting" and 0 < self.at < number)
        if fails and self.mode != "late":
            half()
            self.fault(name)
        result = act()
        if fails and self.mode == "late":
            self.fault(name)
        return result


def crash(at: int) -> Operations:
    """Stop the process at an operation, as a kill would."""
    return Operations(at, lambda name: os._exit(CRASHED))


def error(at: int, kind: Disk, mode: str) -> Operations:
    """Raise what a full or failing disk gives; a connection that is closed raises nothing."""

    def fault(name: str) -> None:
        if name in CALLS:
            raise OSError(kind.errno, os.strerror(kind.errno))
        if name != "close":
            raised = sqlite3.OperationalError(kind.told)
            raised.sqlite_errorcode = kind.code
            raise raised

    return Operations(at, fault, mode)


@contextmanager
def watched(operations: Operations) -> Iterator[Operations]:
    """Let everything that the store does to its files pass by these operations."""
    connect = sqlite3.connect

    def watched_connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return connect(*arguments, **options, factory=_connection(operations))

    with (
        mock.patch.object(durable, "os", _System(operations)),
        mock.patch("sqlite3.connect", watched_connect),
    ):
        yield operations


class _System:
    """The module `os`, watched."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def __getattr__(self, name: str) -> Any:
        call = getattr(os, name)
        if name not in CALLS:
            return call

        def watched_call(*arguments: Any) -> Any:
            def half() -> None:
                if name == "write":
                    os.write(arguments[0], arguments[1][: len(arguments[1]) // 2])

            return self._operations.do(name, lambda: call(*arguments), half)

        return watched_call


def _connection(operations: Operations) -> type[sqlite3.Connection]:
    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            run = super().execute
            return operations.do(statement.split()[0], lambda: run(statement, *values))

        def executemany(self, statement: str, *values: Any) -> sqlite3.Cursor:
            run = super().executemany
            return operations.do(statement.split()[0], lambda: run(statement, *values))

        def executescript(self, script: str) -> sqlite3.Cursor:
            for statement in script.split(";")[:-1]:
                self.execute(statement)
            return self.cursor()

        def close(self) -> None:
            operations.do("close", super().close)

    return Connection
