"""Private temporary folders that go with their owner: when it closes them, or else when the next one is made.

An owner holds the kernel's lock on its folder, so that it is known to be dead however it ended: by ``kill -9`` too.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "plasmodia_"


@contextmanager
def scratch(place: str | None = None) -> Iterator[Path]:
    """Make a folder that only this user can enter, and remove it in the end, with those whose owner is dead.

    Parameters
    ----------
    place
        Where it is made; None: in the system's place for temporary files.
    """
    place = tempfile.gettempdir() if place is None else place
    sweep(place)
    folder, lock = _owned(place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(place: str) -> None:
    """Remove the folders in a place that this user's dead processes left there."""
    for folder in sorted(Path(place).glob(f"{PREFIX}*")):
        with suppress(OSError):  # it is somebody else's, has an owner, or is no folder
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _owned(place: str) -> tuple[Path, int]:
    """Make and lock a folder, again where another process swept it before it was locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # on a file system without such locks it is never swept either
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder.exists():
            return folder, lock
        os.close(lock)
