"""The lock of a run directory: one driver at a time; one that died holds nothing.

The lock is the kernel's (`flock`) on the file ``lock``, so it goes when its process does, however that ends. The
file says who holds it, for the message alone; readers never look at it.
"""

import errno
import fcntl
import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from archive_store.errors import LockError

LOCK = "lock"
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a stranger's run can have anything there


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a run, as its one driver; the folder may be renamed meanwhile. No file ``lock`` is left.

    Raises
    ------
    LockError
        If another process is its driver, or the folder cannot be locked.
    """
    with _opened(folder) as place:
        file = _taken(place, folder)
        try:
            yield
        finally:
            # Removed while it is held: whoever waits to lock this file then sees that it is gone.
            if _is_there(file, place):
                os.unlink(LOCK, dir_fd=place)
            os.close(file)


def check_free(folder: Path) -> None:
    """Refuse a folder whose run another process is the driver of.

    Raises
    ------
    LockError
        If one is.
    """
    with suppress(OSError):  # no run, or none that this user could write
        file = os.open(folder / LOCK, _FLAGS)
        try:
            _lock(file, folder)
        finally:
            os.close(file)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    with _explained(folder):
        place = os.open(folder, os.O_RDONLY)
    try:
        yield place
    finally:
        os.close(place)


def _taken(place: int, folder: Path) -> int:
    """Open and lock the file, again where another process removed it before it was locked."""
    while True:
        with _explained(folder):
            file = os.open(LOCK, _FLAGS | os.O_CREAT, 0o644, dir_fd=place)
        try:
            with _explained(folder):
                _check_plain(file, folder)
                _lock(file, folder)
                if _is_there(file, place):
                    os.truncate(file, 0)
                    os.write(
                        file, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode("ascii")
                    )
                    return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _check_plain(file: int, folder: Path) -> None:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise LockError(f"{folder / LOCK} is no plain file; remove it")


def _lock(file: int, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockError(
            f"{folder} is being written by {_holder(file)}; wait until it has ended, or end it first"
        ) from None


def _holder(file: int) -> str:
    try:
        value = json.loads(os.pread(file, 1000, 0))
        return f"process {value['pid']:d} on {value['host']:.100}"
    except (KeyError, TypeError, ValueError):  # it has not said yet
        return "another process"


def _is_there(file: int, place: int) -> bool:
    try:
        named = os.stat(LOCK, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(file))


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise LockError(f"{folder / LOCK} is a symbolic link; remove it") from None
        raise LockError(
            f"{folder} cannot be locked: {error.strerror}; a run needs a folder that can be written"
        ) from None
