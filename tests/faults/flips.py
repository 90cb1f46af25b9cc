"""Bytes that are flipped on disk one at a time, and how many of them `verify` finds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from archive_store.verification import verify


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of flipping bytes of one file."""

    tried: int
    missed: tuple[int, ...]  # places of flips after which `verify` named another file, more than one or none

    @property
    def found(self) -> int:
        return self.tried - len(self.missed)


def tally(run: Path, name: str, every: int) -> Tally:
    """Flip every so many-th byte of a file of a run, and let `verify` look for each."""
    tried, missed = 0, []
    for place in flips(run / name, every):
        tried += 1
        if [problem.file for problem in verify(run).problems] != [name]:
            missed.append(place)
    return Tally(tried, tuple(missed))


def flips(path: Path, every: int) -> Iterator[int]:
    """Flip one bit of every so many-th byte, another bit each time; in between the file is whole again."""
    whole = path.read_bytes()
    for number, place in enumerate(range(0, len(whole), every)):
        write(path, place, whole[place] ^ (1 << number % 8))
        try:
            yield place
        finally:
            write(path, place, whole[place])


def write(path: Path, place: int, byte: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([byte]))


def one_of_every_kind(run: Path) -> dict[str, str]:
    """Name a file of each kind that a run has: what it is, and where it lies in the run directory."""
    opened = open_run(run)
    with opened.directory.journal() as journal:
        state = journal.states()[0].digest
    calibration = opened.calibration()
    blobs = {
        "interface": calibration["interface"],
        "host": calibration["hosts"][0],
        "centroids": calibration["centroids"],
        "state": state,
        "genome": opened.elites()["genome"].iloc[0],
    }
    directory = opened.directory
    paths = {kind: directory.blobs.path(digest) for kind, digest in blobs.items()}
    paths |= {"config": directory.config_path, "environment": directory.environment_path}
    paths |= {"journal": directory.journal_path, "manifest": directory.manifest_path}
    return {kind: path.relative_to(run).as_posix() for kind, path in paths.items() if path.is_file()}


def blob(run: Path, digest: str) -> str:
    """Name the file of a blob."""
    return RunDirectory(run).blobs.path(digest).relative_to(run).as_posix()
