"""The log of a training: a JSON object a line, of which only the fields in `CLOCK` depend on how fast it was."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from archive_store import durable
from qd.canonical import canonical

CLOCK = ("seconds", "examples_per_second", "tokens_per_second")


class Log:
    """A log that is being written, line by line.

    Parameters
    ----------
    path
        Of the file; what is there already stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with durable.explained(path):
            self._file: BinaryIO = path.open("ab")

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record, in canonical JSON (`qd.canonical`).

        Raises
        ------
        WriteError
            If the disk does not take it.
        """
        with durable.explained(self.path):
            self._file.write(canonical(record).encode() + b"\n")
            self._file.flush()

    def sync(self) -> None:
        """Make what was written durable, before a checkpoint relies on it."""
        with durable.explained(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; what a full disk did not take is tried once more.

        Raises
        ------
        WriteError
            If the disk does not take it.
        """
        with durable.explained(self.path):
            self._file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a log; a line that was cut off in the middle ends it, and without a file there is none."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    records = []
    for line in lines:
        try:
            record = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or type(record.get("step")) is not int:
            break
        records.append(record)
    return records


def cut(path: Path, step: int) -> None:
    """Leave in a log what was written up to a step: a training that goes on from there writes the rest again.

    Raises
    ------
    WriteError
        If the disk does not take it.
    """
    kept = [record for record in read(path) if record["step"] <= step]
    durable.write(path, b"".join(canonical(record).encode() + b"\n" for record in kept))
