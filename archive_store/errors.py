"""Errors of stored runs; each message is one sentence that names the file and the remedy."""

from pathlib import Path


class StoreError(Exception):
    """Something on disk is missing, damaged or not what it should be."""

    exit_status = 1


class BlobError(StoreError):
    """A content-addressed file is missing or its bytes do not have its digest."""


class EncodingError(StoreError):
    """Bytes are not an encoding of named arrays, or arrays have no encoding."""


class LockError(StoreError):
    """Another process is writing the run, or nobody can."""


class YamlError(StoreError):
    """A text is not the plain YAML that is read here."""


class JournalError(StoreError):
    """The journal cannot be read or written."""


class ChainError(JournalError):
    """The journal's events do not give its digests.

    Attributes
    ----------
    round
        First round that differs.
    seq
        Number of the first event that differs within the round, or None where only the round is known.
    """

    def __init__(self, message: str, round: int, seq: int | None = None) -> None:
        super().__init__(message)
        self.round = round
        self.seq = seq


class WriteError(StoreError):
    """A disk is full or fails while a run is written; what was committed before is not touched by it.

    Attributes
    ----------
    path
        What was being written.
    reason
        In the system's words.
    when
        What must come first, such as "there is room again".
    """

    def __init__(self, path: Path, reason: str, full: bool) -> None:
        self.path, self.reason = path, reason
        self.when = "there is room again" if full else "the disk works again"
        super().__init__(f"{path} cannot be written: {reason}; the run can be resumed when {self.when}")


class RunDirectoryError(StoreError):
    """A folder is not a run, or a file of a run is not as it was written."""


class ForeignFileError(RunDirectoryError):
    """What lies in a run's folder is no file that a run writes: a link, a pipe, a device, or far too large."""


class NoRunError(RunDirectoryError):
    """A path is not the folder of a run: bad usage, like a configuration that is not there."""

    exit_status = 2


# What reading a record (`qd.records.read`) or an event's parts raises where they are not what they should be.
UNREADABLE = (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError)
