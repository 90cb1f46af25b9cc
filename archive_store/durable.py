"""Files that are either wholly there after a power cut or not there at all."""

import os
from pathlib import Path

_NETWORK = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
    "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs", "wekafs",
})  # fmt: skip
_MOUNTS = Path("/proc/self/mounts")
PARTIAL = ".partial"  # how the name of a file ends that is still being written


def write(path: Path, data: bytes) -> None:
    """Write a file whose name never stands for half of its bytes: write, fsync, rename, fsync the folder."""
    place(path, data)
    sync_directory(path.parent)


def place(path: Path, data: bytes) -> None:
    """Write, fsync and rename; the name itself is safe only after `sync_directory` of the folder."""
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync_directory(path: Path) -> None:
    """Make the names in a folder durable (a rename is not, until its folder is synchronised)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def on_network(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Say whether a path lies on a network file system, where SQLite's shared-memory WAL is not safe.

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
