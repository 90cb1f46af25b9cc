"""Queries that end: a damaged or forged file can lead SQLite round in circles, or have it return one row for ever."""

import sqlite3
from typing import Any

STEP = 10_000  # instructions of SQLite's machine between two looks
LEAST = 50_000_000  # instructions and characters for a file of any size, a second's work
PER_BYTE = 20  # and so many more for each byte of the file: a row of 40 bytes takes about 20 instructions


def rows(
    database: sqlite3.Connection, query: str, values: tuple[Any, ...], size: int
) -> list[tuple[Any, ...]]:
    """Return all rows of a query, which may take and return only as much as a file of its size has need of.

    An interrupt (SIGINT) is heard while SQLite works.

    Parameters
    ----------
    database
        The connection.
    query, values
        What is asked.
    size
        Bytes of the file.

    Raises
    ------
    sqlite3.DatabaseError
        If it takes or returns more.
    """
    allowed = LEAST + PER_BYTE * size
    left = allowed // STEP
    found: list[tuple[Any, ...]] = []
    length = 0

    def look() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    database.set_progress_handler(look, STEP)
    try:
        for row in database.execute(query, values):
            length += sum(len(value) for value in row if isinstance(value, (str, bytes)))
            if length > allowed:
                break
            found.append(row)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
            raise
        if left >= 0:  # SQLite stops where the look was itself interrupted
            raise KeyboardInterrupt from None
    finally:
        database.set_progress_handler(None, 0)
    if left < 0 or length > allowed:
        raise sqlite3.DatabaseError("its tables do not end where the file does")
    return found
