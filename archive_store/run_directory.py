"""The folder of a run: its paths, and a manifest of sizes and digests written when the run ends."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from archive_store import durable, inside
from archive_store.blobs import BlobStore
from archive_store.errors import NoRunError, RunDirectoryError, WriteError, YamlError
from archive_store.journal.journal import Journal
from archive_store.strict_yaml import read
from qd.canonical import plain, sha256

FORMAT = 2  # of the manifest


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an ended run came to."""

    digest: str  # of the last round
    files: Mapping[str, Mapping[str, Any]]  # size (``bytes``) and SHA-256 (``sha256``) by name


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The paths of a run.

    ``config.yaml`` and ``environment.json`` are written first, ``journal.sqlite`` and ``blobs/`` as it
    goes, ``manifest.json`` when it ends; ``plots/``, ``report.html`` and ``log.jsonl`` can be made again, and
    ``metrics.prom`` and ``traces/`` say how it went.
    """

    path: Path

    @classmethod
    def create(cls, path: Path, config: str, environment: Mapping[str, Any]) -> "RunDirectory":
        """Make the folder of a new run with its resolved configuration and its environment.

        Parameters
        ----------
        path
            The folder; those above it are made too.
        config
            The resolved configuration, a YAML text.
        environment
            What becomes ``environment.json``: fingerprint, versions and git revision.

        Raises
        ------
        RunDirectoryError
            If something is there already, or the folder cannot be made.
        """
        if os.path.lexists(path):
            raise RunDirectoryError(f"{path} exists already; choose another folder or remove it first")
        try:
            durable.make_directory(path)
        except WriteError as error:
            raise RunDirectoryError(
                f"folder {path} cannot be made: {error.reason}; choose another one"
            ) from None
        directory = cls(path)
        durable.make_directory(directory.blobs.root)
        directory.write_config(config)
        durable.write(directory.environment_path, _json(environment))
        return directory

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """Open an existing folder.

        Raises
        ------
        NoRunError
            If it is not the folder of a run.
        RunDirectoryError
            If it is, but its configuration is missing, a link or far too large.
        """
        directory = cls(path)
        if not path.is_dir():
            what = f"{path} is no folder" if os.path.lexists(path) else f"there is no folder {path}"
            raise NoRunError(f"{what}; give one that `plasmodia launch` made")
        if not os.path.lexists(directory.config_path):
            if directory.journal_path.is_file():
                raise RunDirectoryError(f"{directory.config_path} is missing; restore it from a copy")
            raise NoRunError(
                f"{path} is no run: it has no config.yaml; give a folder that `plasmodia launch` made"
            )
        if (path / "checkpoints").is_dir() and not os.path.lexists(directory.journal_path):
            raise NoRunError(
                f"{path} is no run, but the training of a model on its own; look at it with `plasmodia models show`"
            )
        inside.look(path, directory.config_path, inside.LARGEST_TEXT)
        return directory

    @property
    def config_path(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def environment_path(self) -> Path:
        """The fingerprint, versions and git revision."""
        return self.path / "environment.json"

    @property
    def journal_path(self) -> Path:
        """The journal."""
        return self.path / "journal.sqlite"

    @property
    def manifest_path(self) -> Path:
        """Whole-file digests; there once the run has ended."""
        return self.path / "manifest.json"

    @property
    def plots_path(self) -> Path:
        """The folder of the pictures."""
        return self.path / "plots"

    @property
    def metrics_path(self) -> Path:
        """The metrics, in Prometheus' text format."""
        return self.path / "metrics.prom"

    @property
    def traces_path(self) -> Path:
        """The folder of traces, one for each time that the run was gone on with."""
        return self.path / "traces"

    @property
    def report_path(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def log_path(self) -> Path:
        """What happened, for people; one JSON object a line."""
        return self.path / "log.jsonl"

    @property
    def blobs(self) -> BlobStore:
        """Genomes, states, interface, hosts and centroids."""
        return BlobStore(self.path / "blobs")

    def write_config(self, text: str) -> None:
        """Write the configuration, as YAML; a resume with another ``execution`` section does so again."""
        durable.write(self.config_path, text.encode("utf-8"))

    def config(self) -> dict[str, Any]:
        """Read the configuration."""
        try:
            document = read(self._text(self.config_path), str(self.config_path))
        except YamlError as error:
            raise RunDirectoryError(f"{error}; restore it from a copy") from None
        if document.problems:
            raise RunDirectoryError(f"{self.config_path}, {document.problems[0]}; restore it from a copy")
        return _mapping(self.config_path, document.value)

    def environment(self) -> dict[str, Any]:
        """Read the environment."""
        return _json_object(self.environment_path, self._text(self.environment_path))

    def journal(self, readonly: bool = True) -> Journal:
        """Open the journal.

        Raises
        ------
        RunDirectoryError
            If there is none yet.
        """
        if not os.path.lexists(self.journal_path):
            raise RunDirectoryError(
                f"{self.path} has no journal yet; wait until calibration has ended or launch again"
            )
        return Journal.open(self.journal_path, readonly)

    def make_plots_folder(self) -> Path:
        """Make the folder of the pictures, if it is not there, and return it.

        Raises
        ------
        ForeignFileError
            If something else is there, such as a link that leads elsewhere.
        """
        inside.check_folder(self.path, self.plots_path)
        durable.make_directory(self.plots_path)
        return self.plots_path

    def digest_of(self, name: str) -> tuple[int, str]:
        """Return the number of bytes and the SHA-256 of a file by its name within the run.

        Raises
        ------
        ForeignFileError
            If it is no plain file, far too large, or reached through a link.
        OSError
            If it is not there or cannot be read.
        """
        with inside.opened(self.path, self.path / name, inside.LARGEST_JOURNAL) as descriptor:
            with open(descriptor, "rb", closefd=False) as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            return os.fstat(descriptor).st_size, found

    def finished(self) -> bool:
        """Whether the run has ended, that is, has a manifest."""
        return self.manifest_path.is_file()

    def write_manifest(self, digest: str) -> None:
        """End the run: list the size and SHA-256 of every file that cannot be made again, and of the list itself.

        Parameters
        ----------
        digest
            Of the last round.

        Raises
        ------
        RunDirectoryError
            If the genome of an elite is missing or damaged; then nothing is written.
        """
        files = {}
        for name in self._lasting():
            size, found = self.digest_of(name)
            files[name] = {"bytes": size, "sha256": found}
        self._check_elites(files)
        noted = {"format": FORMAT, "digest": digest, "files": files}
        durable.write(self.manifest_path, _json(noted | {"sha256": sha256(_json(noted))}))

    def manifest(self) -> Manifest:
        """Read the manifest of an ended run.

        Raises
        ------
        RunDirectoryError
            If not every byte of the manifest is as it was written.
        """
        text = self._text(self.manifest_path)
        value = _json_object(self.manifest_path, text)
        files, digest = value.get("files"), value.get("digest")
        if value.get("format") != FORMAT or not _is_listing(files) or not isinstance(digest, str):
            raise RunDirectoryError(
                f"{self.manifest_path} is not a manifest of format {FORMAT}; restore it from a copy"
            )
        noted = {"format": FORMAT, "digest": digest, "files": files}
        if text.encode("utf-8") != _json(noted | {"sha256": sha256(_json(noted))}):
            raise RunDirectoryError(f"{self.manifest_path} was altered; restore it from a copy")
        return Manifest(digest, files)

    def remove_manifest(self) -> None:
        """Mark the run as unfinished again, before it is written to."""
        durable.remove(self.manifest_path)
        durable.sync_directory(self.path)

    def check_manifest(self, blobs: bool = True) -> None:
        """Compare the files of an ended run with its manifest; for a run that goes on do nothing.

        Parameters
        ----------
        blobs
            Also read every blob. (Each is verified anyway whenever it is used.)

        Raises
        ------
        RunDirectoryError
            Names the first file that is missing or not as it was written.
        """
        if not self.finished():
            return
        files = self.manifest().files
        for name in sorted(files):
            if blobs or not name.startswith("blobs/"):
                self._check_file(name, files[name])

    def recover(self) -> None:
        """Recover from a killed process, before the run is written to again.

        What it had not finished writing is removed. Names that it had not come to synchronise are made
        durable, because from now on they are taken for it.
        """
        folders = [self.path, *self.blobs.folders()]
        for folder in folders:
            for partial in sorted(folder.glob(f"*{durable.PARTIAL}")):
                durable.remove(partial)
        for folder in (self.path.parent, *folders):
            durable.sync_directory(folder)

    def _lasting(self) -> Iterator[str]:
        blobs = (self.blobs.path(digest) for digest in self.blobs.digests())
        for path in (self.config_path, self.environment_path, self.journal_path, *blobs):
            yield path.relative_to(self.path).as_posix()

    def _check_elites(self, files: Mapping[str, Mapping[str, Any]]) -> None:
        with self.journal() as journal:
            genomes = journal.elite_genomes()
        for genome in genomes:
            path = self.blobs.path(genome)
            if files.get(path.relative_to(self.path).as_posix(), {}).get("sha256") != genome:
                raise RunDirectoryError(
                    f"{path}, the genome of an elite, is missing or damaged, and the run is not ended without it; "
                    "plasmodia resume makes it again"
                )

    def _check_file(self, name: str, entry: Mapping[str, Any]) -> None:
        path, wanted = self.path / name, entry["sha256"]
        try:
            _, found = self.digest_of(name)
        except FileNotFoundError:
            raise RunDirectoryError(f"{path} is missing; restore it from a copy") from None
        except OSError as error:
            raise RunDirectoryError(f"{path} cannot be read ({error}); restore it from a copy") from None
        if found != wanted:
            raise RunDirectoryError(
                f"{path} was altered: SHA-256 {found}, in the manifest {wanted}; restore it from a copy"
            )

    def _text(self, path: Path) -> str:
        try:
            return inside.read(self.path, path, inside.LARGEST_TEXT).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunDirectoryError(f"{path} cannot be read ({error}); restore it from a copy") from None


def _is_listing(files: Any) -> TypeGuard[dict[str, dict[str, Any]]]:
    """Whether this maps names of files in the folder to their sizes and digests."""
    return isinstance(files, dict) and all(
        isinstance(entry, dict)
        and {key: type(item) for key, item in entry.items()} == {"bytes": int, "sha256": str}
        and name.isprintable()
        and not {"", ".", "..", "/"} & {*PurePosixPath(name).parts, name}
        for name, entry in files.items()
    )


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(plain(value), indent=2, sort_keys=True, allow_nan=False) + "\n").encode("ascii")


def _json_object(path: Path, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunDirectoryError(f"{path} is not JSON ({error}); restore it from a copy") from None
    return _mapping(path, value)


def _mapping(path: Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RunDirectoryError(f"{path} has no keys at its top; restore it from a copy")
    return value
