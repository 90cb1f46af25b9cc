"""What is read back from disk and is whole, but not what this version or this run would have written."""

from collections.abc import Iterator
from contextlib import contextmanager

from archive_store.journal.chain import UNREADABLE
from runs.errors import RunError


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn what reading raises into one sentence.

    Raises
    ------
    RunError
        Says what cannot be read, and why.
    """
    try:
        yield
    except UNREADABLE as error:
        raise RunError(
            f"{what} cannot be read ({type(error).__name__}: {error}); it is of another run or another version"
        ) from error
