"""Content-addressed files: a blob's name is the SHA-256 of its bytes, so what is read is what was written."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from archive_store import durable, inside
from archive_store.errors import BlobError, ForeignFileError, WriteError
from qd.canonical import sha256

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUFFIX = ".safetensors"


def is_digest(name: str) -> bool:
    """Whether a name has the form of a digest: 64 lowercase hexadecimal digits."""
    return _DIGEST.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class BlobStore:
    """The blobs below a folder: ``<root>/ab/<sha256>.safetensors``, where ``ab`` begins the digest.

    One process writes, any number read. Reading never changes anything on disk.
    """

    root: Path  # within the folder of the run

    @property
    def run(self) -> Path:
        """The folder of the run, below which nothing is reached through a link."""
        return self.root.parent

    def path(self, digest: str) -> Path:
        """Return the path of the blob with this digest, whether it is there or not.

        Raises
        ------
        BlobError
            If the digest is not 64 lowercase hexadecimal digits.
        """
        if not is_digest(digest):
            raise BlobError(f"a blob is named by 64 lowercase hexadecimal digits, not by {digest!r}")
        return self.root / digest[:2] / f"{digest}{_SUFFIX}"

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their digest."""
        return self.put_all([data])[0]

    def put_all(self, items: Iterable[bytes]) -> list[str]:
        """Store several blobs, synchronising each folder once, and return their digests in order.

        When this returns, every blob survives a power cut. A blob that is there and intact is left
        alone; a damaged one is written again.
        """
        digests = []
        touched: set[Path] = set()
        for data in items:
            digest = sha256(data)
            path = self.path(digest)
            digests.append(digest)
            if not self._holds(path, data):
                if not self.root.parent.is_dir():  # somebody has renamed or removed the run
                    raise WriteError(self.root, "there is no such folder any more", full=False)
                inside.check_folder(self.run, path.parent)
                durable.make_directory(path.parent)
                durable.place(path, data)
                touched.add(path.parent)
        for folder in sorted(touched):
            durable.sync_directory(folder)
        return digests

    def has(self, digest: str) -> bool:
        """Whether there is a file for this digest; only `intact` and `get` check its bytes."""
        return inside.is_there(self.run, self.path(digest))

    def intact(self, digest: str) -> bool:
        """Whether there is a file for this digest whose bytes have it."""
        try:
            self.get(digest)
        except BlobError:
            return False
        return True

    def get(self, digest: str) -> bytes:
        """Read a blob and verify it.

        Raises
        ------
        BlobError
            If there is none, it cannot be read, or its bytes have another digest.
        """
        path = self.path(digest)
        try:
            data = inside.read(self.run, path)
        except FileNotFoundError:
            raise BlobError(f"blob {digest} is missing: there is no file {path}") from None
        except ForeignFileError as error:
            raise BlobError(f"blob {error}") from None
        except MemoryError:
            raise BlobError(f"blob {path} cannot be read: it is too large for this machine") from None
        except OSError as error:
            raise BlobError(f"blob {path} cannot be read: {error.strerror}") from None
        found = sha256(data)
        if found != digest:
            raise BlobError(
                f"blob {path} is damaged: its bytes have SHA-256 {found}; restore the file from a copy"
            )
        return data

    def remove(self, digest: str) -> None:
        """Remove a blob, if it is there."""
        path = self.path(digest)
        inside.check_folder(self.run, path.parent)
        durable.remove(path)

    def digests(self) -> Iterator[str]:
        """Yield the digests of all blobs in order."""
        for folder in self.folders()[1:]:
            for path in sorted(folder.glob(f"*{_SUFFIX}")):
                if is_digest(path.stem):
                    yield path.stem

    def folders(self) -> list[Path]:
        """Return the root and the folders below it that hold blobs.

        Raises
        ------
        ForeignFileError
            If one of them is a link.
        """
        folders = [self.root, *sorted(path for path in self.root.glob("??") if path.is_dir())]
        for folder in folders:
            inside.check_folder(self.run, folder)
        return folders

    def _holds(self, path: Path, data: bytes) -> bool:
        try:
            return inside.read(self.run, path) == data
        except (OSError, ForeignFileError):  # not there, or not readable: then it is written again
            return False
