"""Files below the folder of a run, which may be a stranger's: plain files alone, not through a link, of bounded size.

The folder itself may be reached through links: it was named by the user. What lies in it was named by whoever made it.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive_store.errors import ForeignFileError

LARGEST_TEXT = 1 << 26  # bytes of a configuration, an environment or a manifest
LARGEST_BLOB = 1 << 32
LARGEST_JOURNAL = 1 << 36
LARGEST_WAL = 1 << 32
_HOLES = 16  # times as many bytes as take up room: more than any compression of the file system explains
_SMALL = 1 << 24  # bytes below which holes do no harm
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def look(root: Path, path: Path, most: int = LARGEST_BLOB) -> os.stat_result:
    """Look at a file without opening it.

    Parameters
    ----------
    root
        The folder of the run.
    path
        A file below it.
    most
        How many bytes it may have.

    Raises
    ------
    ForeignFileError
        If it is no plain file, larger, or reached through a link.
    FileNotFoundError
        If it is not there.
    """
    with _folder(root, path) as place:
        return _checked(path, os.stat(path.name, dir_fd=place, follow_symlinks=False), most)


@contextmanager
def opened(root: Path, path: Path, most: int = LARGEST_BLOB) -> Iterator[int]:
    """Open a file for reading, as a descriptor; looked at before, as opening a pipe or a device can already do harm.

    Parameters
    ----------
    root, path, most
        As `look` takes them, which says what is raised.
    """
    with _folder(root, path) as place:
        _checked(path, os.stat(path.name, dir_fd=place, follow_symlinks=False), most)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path.name, flags, dir_fd=place)
    try:
        _checked(path, os.fstat(descriptor), most)
        yield descriptor
    finally:
        os.close(descriptor)


def read(root: Path, path: Path, most: int = LARGEST_BLOB) -> bytes:
    """Return all bytes of a file.

    Parameters
    ----------
    root, path, most
        As `look` takes them, which says what is raised.
    """
    with opened(root, path, most) as descriptor, open(descriptor, "rb", closefd=False) as file:
        return file.read(most)


def is_there(root: Path, path: Path) -> bool:
    """Whether there is a plain file, not behind a link; of any size."""
    try:
        with _folder(root, path) as place:
            return stat.S_ISREG(os.stat(path.name, dir_fd=place, follow_symlinks=False).st_mode)
    except (OSError, ForeignFileError):
        return False


def check_folder(root: Path, folder: Path) -> None:
    """Refuse a folder below a run that is reached through a link, as far as it is there.

    Raises
    ------
    ForeignFileError
        Names the first part of the path that is no folder.
    """
    try:
        with _folder(root, folder / "file"):
            pass
    except FileNotFoundError:
        pass


def foreign(path: Path) -> str | None:
    """Return what is wrong with the kind of thing that is there, in words, or None of a plain file or folder."""
    mode = os.lstat(path).st_mode
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else f"is {_kind(mode)}; {_RULE}"


_RULE = "inside a run there are plain files and folders alone"


@contextmanager
def _folder(root: Path, path: Path) -> Iterator[int]:
    """Open the folder that a file lies in, part by part."""
    place, reached = os.open(root, _FOLDER), root
    try:
        for part in path.relative_to(root).parts[:-1]:
            reached = reached / part
            place = _below(place, part, reached)
        yield place
    finally:
        os.close(place)


def _below(place: int, part: str, reached: Path) -> int:
    try:
        below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=place)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        mode = os.stat(part, dir_fd=place, follow_symlinks=False).st_mode
        kind = "a file" if stat.S_ISREG(mode) else _kind(mode)
        raise ForeignFileError(f"{reached} is {kind} and no folder; {_RULE}") from None
    os.close(place)
    return below


def _checked(path: Path, found: os.stat_result, most: int) -> os.stat_result:
    if not stat.S_ISREG(found.st_mode):
        raise ForeignFileError(f"{path} is {_kind(found.st_mode)}; {_RULE}")
    if found.st_size > most:
        raise ForeignFileError(f"{path} has {found.st_size:,} bytes, and at most {most:,} are read")
    if found.st_size > _SMALL and found.st_size > _HOLES * 512 * found.st_blocks:
        raise ForeignFileError(f"{path} has {found.st_size:,} bytes, most of which are holes; it is not read")
    return found


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")
