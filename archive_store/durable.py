"""Atomic, durable writes: after a power cut a file is either wholly there or not there at all.

All that the store changes in a file system is done here, but for the journal, which SQLite looks after.
A function that cannot do its work raises `WriteError`.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from archive_store.errors import WriteError

_NETWORK = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
    "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs", "wekafs",
})  # fmt: skip
_MOUNTS = Path("/proc/self/mounts")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
PARTIAL = ".partial"  # how the name of a file ends that is still being written


def write(path: Path, data: bytes) -> None:
    """Write a file atomically and durably: write, fsync, rename, fsync the folder."""
    place(path, data)
    sync_directory(path.parent)


def place(path: Path, data: bytes) -> None:
    """Write, fsync and rename; the name itself is safe only after `sync_directory` of the folder."""
    _place(path, data)


def renew(path: Path, data: bytes) -> None:
    """Write and rename without waiting for the disk: for what is soon written anew, and nothing rests on.

    Readers find the file before or after; a power cut may leave it empty.
    """
    _place(path, data, durably=False)


def sync_directory(path: Path) -> None:
    """Make the names in a folder durable (a rename is not, until its folder is synchronised)."""
    with explained(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make a folder, and those above it that are missing, under durable names; one that is there is kept."""
    if not path.is_dir():
        make_directory(path.parent)
        with explained(path), suppress(FileExistsError):  # another process was faster
            os.mkdir(path)
        sync_directory(path.parent)


def rename(old: Path, new: Path) -> None:
    """Rename a file or a folder durably within its parent folder."""
    with explained(new):
        os.rename(old, new)
    sync_directory(new.parent)


def remove(path: Path) -> None:
    """Remove a file, if it is there; after a power cut it can be back."""
    with explained(path), suppress(FileNotFoundError):
        os.unlink(path)


def _place(path: Path, data: bytes, durably: bool = True) -> None:
    # A name that nobody can have put there before, and a file that is new: never one behind a link.
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}{PARTIAL}")
    with explained(path):
        try:
            _fill(partial, data, durably)
            os.replace(partial, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(partial)
            raise


def _fill(path: Path, data: bytes, durably: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if durably:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the system's errors of what is written to a path into sentences.

    Raises
    ------
    WriteError
        Naming the path, the system's reason, and what must come first.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(path, error.strerror or str(error), error.errno in _FULL) from error


def on_network(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether a path lies on a network file system, where SQLite's shared-memory WAL is not safe.

    Reads the mount table `mounts`; where a system has none, the answer is False.
    """
    if not mounts.is_file():
        return False
    place = path.resolve()
    rows = [line.split() for line in mounts.read_text(errors="replace").splitlines()]
    found = [(Path(_unescaped(row[1])), row[2]) for row in rows if len(row) >= 3]
    holding = [(len(point.parts), kind) for point, kind in found if place.is_relative_to(point)]
    return bool(holding) and max(holding, key=lambda row: row[0])[1] in _NETWORK


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
