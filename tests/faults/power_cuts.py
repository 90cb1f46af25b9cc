"""What a power cut may leave of the operations on a file system.

The model is the weakest that the store and SQLite both claim to bear:

- What was written to a file before its last fsync is there. Of later writes and truncations any subset is, and
  a write is torn at sectors of 512 bytes: each sector of it is there or not, and one that is not holds what it
  held before, or zeros beyond the old end.
- What was done to the names in a folder (create, rename, unlink, mkdir) before the folder's last fsync is there.
  Of what was done later any subset is, in the order in which it was done. A rename happens or does not.
- An fsync of a file says nothing of its name, and one of a folder nothing of its files' bytes.
- A sector is not changed by writing beside it, and never is half old and half new.

Sources: SQLite, *Atomic Commit In SQLite*, section 2 ("Hardware Assumptions"; the last rule is its powersafe
overwrite); T. S. Pillai et al., *All File Systems Are Not Created Equal: On the Complexity of Crafting
Crash-Consistent Applications*, OSDI 2014, section 3 (ALICE's abstract persistence models: the one here lets all
operations that no fsync orders be reordered, and splits writes).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

SECTOR = 512
ROOT = 0  # number of the folder below which all happens; it is there from the beginning
Keep = Callable[[], bool]  # whether the next piece that is not certain is there


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that were written to a file at an offset."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file was given a size."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Rename:
    """A name in a folder went away, another came, or both at once."""

    folder: int
    old: str | None
    new: str | None
    inode: int
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Sync:
    """A file or folder was synchronised."""

    inode: int


@dataclass(frozen=True, slots=True)
class Promise:
    """From here on something was said to last: a round, or the whole run."""

    what: Any


Operation = Write | Truncate | Rename | Sync | Promise


@dataclass(slots=True)
class Log:
    """The operations below a folder, in order, and the names as a running program sees them."""

    root: Path
    operations: list[Operation] = field(default_factory=list)
    names: dict[Path, int] = field(default_factory=dict)
    last: int = ROOT  # highest number of a file or folder

    def __post_init__(self) -> None:
        self.names[self.root] = ROOT

    def covers(self, path: str) -> bool:
        return Path(path).is_relative_to(self.root)

    def inode(self, path: Path) -> int:
        return self.names[path]

    def create(self, path: Path, is_folder: bool = False) -> int:
        """Give the number of a file or folder, after making it if it was not there."""
        if path not in self.names:
            self.last += 1
            self.operations.append(Rename(self.names[path.parent], None, path.name, self.last, is_folder))
            self.names[path] = self.last
        return self.names[path]

    def write(self, inode: int, offset: int, data: bytes) -> None:
        self.operations.append(Write(inode, offset, data))

    def truncate(self, inode: int, size: int) -> None:
        self.operations.append(Truncate(inode, size))

    def sync(self, inode: int) -> None:
        self.operations.append(Sync(inode))

    def promise(self, what: Any) -> None:
        self.operations.append(Promise(what))

    def unlink(self, path: Path) -> None:
        inode = self.names.pop(path)
        self.operations.append(Rename(self.names[path.parent], path.name, None, inode))

    def rename(self, old: Path, new: Path) -> None:
        """Rename within a folder, and with a folder all that is below it."""
        assert old.parent == new.parent
        self.operations.append(Rename(self.names[old.parent], old.name, new.name, self.names[old]))
        moved = {path: inode for path, inode in self.names.items() if path.is_relative_to(old)}
        for path in moved:
            del self.names[path]
        self.names |= {new / path.relative_to(old): inode for path, inode in moved.items()}

    def until(self, point: int, root: Path) -> "Log":
        """Give the log of a program that got so far, for another to go on with a copy of its files elsewhere."""
        done = self.operations[:point]
        return Log(root, done, Disk(done).names(root), self.last)


class Disk:
    """A disk after some operations: what is certain of each file and folder, and what is not."""

    def __init__(self, operations: list[Operation]) -> None:
        self._bytes: dict[int, bytearray] = {}
        self._entries: dict[int, dict[str, int]] = {ROOT: {}}
        self._pending: dict[int, list[Write | Truncate | Rename]] = {}
        self._folders: set[int] = set()
        self.promises: list[Any] = []
        for operation in operations:
            self.take(operation)

    def take(self, operation: Operation) -> None:
        """Take one operation more."""
        match operation:
            case Write() | Truncate():
                self._pending.setdefault(operation.inode, []).append(operation)
            case Rename():
                if operation.is_folder:
                    self._folders.add(operation.inode)
                self._pending.setdefault(operation.folder, []).append(operation)
            case Sync():
                for each in self._pending.pop(operation.inode, []):
                    self._apply(each, self._bytes, self._entries)
            case Promise():
                self.promises.append(operation.what)

    def names(self, root: Path) -> dict[Path, int]:
        """Name everything as a running program sees it."""
        _, entries = self._left(lambda: True, lambda: True)
        return {root: ROOT} | {root / path: inode for path, inode in _walk("", ROOT, entries)}

    def left(self, names: Keep, sectors: Keep) -> dict[str, bytes | None]:
        """Give what a power cut leaves: bytes by path, None for a folder.

        Parameters
        ----------
        names, sectors
            Asked in turn about each change of a name and each sector that is not certain.
        """
        files, entries = self._left(names, sectors)
        return {
            path: None if inode in self._folders else bytes(files.get(inode, b""))
            for path, inode in sorted(_walk("", ROOT, entries))
        }

    def _left(self, names: Keep, sectors: Keep) -> tuple[dict[int, bytearray], dict[int, dict[str, int]]]:
        files = {inode: bytearray(data) for inode, data in self._bytes.items()}
        entries = {inode: dict(held) for inode, held in self._entries.items()}
        for pending in self._pending.values():
            for operation in pending:
                for piece in _pieces(operation):
                    keep = names if isinstance(piece, Rename) else sectors
                    if keep():
                        self._apply(piece, files, entries)
        return files, entries

    @staticmethod
    def _apply(
        operation: Write | Truncate | Rename, files: dict[int, bytearray], entries: dict[int, dict[str, int]]
    ) -> None:
        match operation:
            case Write(inode, offset, data):
                content = files.setdefault(inode, bytearray())
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(data)] = data
            case Truncate(inode, size):
                content = files.setdefault(inode, bytearray())
                del content[size:]
                content.extend(bytes(size - len(content)))
            case Rename(folder, old, new, inode):
                held = entries.setdefault(folder, {})
                if old is not None:
                    held.pop(old, None)
                if new is not None:
                    held[new] = inode


def _pieces(operation: Write | Truncate | Rename) -> Iterator[Write | Truncate | Rename]:
    if not isinstance(operation, Write):
        yield operation
        return
    start, end = operation.offset, operation.offset + len(operation.data)
    cuts = [start, *range(start - start % SECTOR + SECTOR, end, SECTOR), end]
    for low, high in pairwise(cuts):
        yield Write(operation.inode, low, operation.data[low - start : high - start])


def _walk(prefix: str, inode: int, entries: dict[int, dict[str, int]]) -> Iterator[tuple[str, int]]:
    """Name what is below a folder, by strings: thousands of disks are walked."""
    for name, below in entries.get(inode, {}).items():
        yield prefix + name, below
        yield from _walk(f"{prefix}{name}/", below, entries)


def put_back(left: dict[str, bytes | None], folder: Path) -> None:
    """Write to a folder what a power cut left."""
    for name, data in left.items():
        if data is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(data)
