"""A run's place stays the same when code of the user's changes the working directory, and is called as it was given."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive_store.errors import StoreError
from runs.errors import PlasmodiaError


@contextmanager
def named_as(given: Path, absolute: Path) -> Iterator[Path]:
    """Yield the absolute path of what the user named; in the sentences of errors it is called as it was given."""
    try:
        yield absolute
    except (PlasmodiaError, StoreError) as error:
        error.args = (str(error).replace(str(absolute), str(given)),)
        raise
