"""Verification: whether every byte of a run is as it was written, and what depends on those that are not.

Of a finished run every file is compared with the manifest, and the manifest with itself. Of an unfinished one
the journal's events are compared with their chain of digests, and every blob with its name. No digest covers
there: configuration and environment (a resume compares them with what it finds), timings and incidents. Where
the end of SQLite's write-ahead log is damaged, its rounds are lost as in a power cut; a resume makes them again.

``plots/``, ``report.html`` and ``log.jsonl`` can be made again and are not covered, nor are ``lock``, ``metrics.prom``
and ``traces/``. But links, pipes, devices and folders that no run has are named wherever they lie.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archive_store import inside
from archive_store.blobs import is_digest
from archive_store.encoding import shapes
from archive_store.errors import ChainError, ForeignFileError, RunDirectoryError, StoreError
from archive_store.journal.dependents import NOTHING, Use, uses
from archive_store.journal.journal import Journal
from archive_store.journal.segments import pending
from archive_store.journal.values import Calibrated, measures_of, value_of, values
from archive_store.lock import LOCK
from archive_store.run_directory import Manifest, RunDirectory
from qd.records import Census, Outcome

CONFIG, ENVIRONMENT, JOURNAL, MANIFEST = "config.yaml", "environment.json", "journal.sqlite", "manifest.json"
NOT_COVERED = ("plots", "report.html", "log.jsonl", "metrics.prom", "traces", LOCK)

_FOLDERS = re.compile(r"plots|traces|blobs|blobs/[0-9a-f]{2}")
_DEPENDENTS = {
    CONFIG: "every round: how the run goes on and is replayed",
    ENVIRONMENT: "on which machines the run can go on and be replayed",
    JOURNAL: "no round: the damage is in timings, incidents or unused space",
    MANIFEST: "what is known of whole files; the others were checked as those of an unfinished run",
}
_UNKNOWN = "not known, as the journal cannot be read so far"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file."""

    file: str  # within the run directory
    round: int | None  # that it belongs to, if to one
    problem: str
    dependents: str  # what depends on it, in words


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, and the problems found."""

    run: str
    finished: bool
    rounds: int  # number of the last that is journaled
    files: int  # that were read
    bytes: int
    problems: tuple[Problem, ...]  # at most one a file, by name


def verify(path: Path) -> Verification:
    """Check every file of a run, live, stopped or finished, and change nothing.

    Raises
    ------
    RunDirectoryError
        If the path is no run.
    """
    directory = RunDirectory(path)
    finished = directory.finished()
    if not (finished or directory.journal_path.is_file()):
        RunDirectory.open(path)
    run = _Run(directory, finished, _history(directory, finished), *_manifest(directory, finished))
    found = {name: run.problem(name, what) for name, what in run.foreign()}
    absent = {name for name in run.required() if not os.path.lexists(path / name)}
    sizes: list[int] = []
    for name in sorted({*run.required(), *run.there()} - absent - found.keys()):
        try:
            size, wrong = run.looked_at(name)
            sizes.append(size)
        except FileNotFoundError:  # a live run has just removed it
            absent.add(name)
            continue
        except ForeignFileError as error:
            wrong = str(error)
        except OSError as error:
            wrong = f"cannot be read: {error.strerror}"
        if wrong is not None:
            found[name] = run.problem(name, wrong)
    for name in _missing(run, absent):
        found[name] = run.problem(name, "is missing")
    return Verification(
        run=str(path),
        finished=finished,
        rounds=run.history.rounds,
        files=len(sizes),
        bytes=sum(sizes),
        problems=tuple(found[name] for name in sorted(found)),
    )


def _missing(run: "_Run", absent: set[str]) -> set[str]:
    """Return which of the files that were not there are missing.

    A live run removes states that newer ones replaced. So what was not there counts only if the journal still
    needs it after that.
    """
    required = absent & {*run.required()}
    if run.finished or not required:
        return required
    return required & {*replace(run, history=_history(run.directory, False)).required()}


@dataclass(frozen=True, slots=True)
class _History:
    """What the journal says, as far as it can be believed."""

    rounds: int
    uses: Mapping[str, Use]
    problem: str | None = None
    since: int | None = None  # round in which the problem is


def _is_ours(folder: Path) -> bool:
    """Whether a run has a folder of this name."""
    return _FOLDERS.fullmatch(folder.as_posix()) is not None


@dataclass(frozen=True, slots=True)
class _Run:
    """A run with its manifest's entries: None if it has not ended, or if its manifest is damaged."""

    directory: RunDirectory
    finished: bool
    history: _History
    files: Mapping[str, Mapping[str, Any]] | None
    complaint: str | None  # about the manifest

    def required(self) -> Iterator[str]:
        """Yield the names of the files that must be there."""
        yield from (CONFIG, ENVIRONMENT, JOURNAL)
        yield from self.files or ()
        for digest, use in self.history.uses.items():
            if use.kept:
                yield self._name(self.directory.blobs.path(digest))

    def there(self) -> Iterator[str]:
        """Yield the names of the files to check: beside a manifest all that are there, else those named by a digest."""
        if self.finished:
            yield MANIFEST
        for path in self._below():
            name = self._name(path)
            covered = name.partition("/")[0] not in NOT_COVERED
            if covered and not path.is_dir() and (self.files is not None or self._digest(name) is not None):
                yield name

    def foreign(self) -> Iterator[tuple[str, str]]:
        """Yield what is no plain file or no folder of a run, and what is wrong with it."""
        for path in self._below():
            try:
                what = inside.foreign(path)
            except FileNotFoundError:  # a live run has just removed it
                continue
            if what is None and path.is_dir() and not _is_ours(path.relative_to(self.directory.path)):
                what = "is no folder of a run"
            if what is not None:
                yield self._name(path), what

    def looked_at(self, name: str) -> tuple[int, str | None]:
        """Return the size of a file that is there, and what is wrong with it, or None."""
        size = inside.look(self.directory.path, self.directory.path / name, inside.LARGEST_JOURNAL).st_size
        if name == MANIFEST:
            return size, self.complaint
        if self.files is not None and name not in self.files:
            return size, "is not listed in the manifest"
        entry = {} if self.files is None else self.files[name]
        wanted = self._digest(name) or entry.get("sha256")
        if size != entry.get("bytes", size):
            return size, f"has {size} bytes and not {entry['bytes']}"
        if wanted is not None and (found := self.directory.digest_of(name)[1]) != wanted:
            return size, f"was altered: its bytes have SHA-256 {found} and not {wanted}"
        return size, self._unreadable(name)

    def problem(self, name: str, wrong: str) -> Problem:
        """Return the problem of a file with its round and what depends on it."""
        digest = self._digest(name)
        if digest is None:
            since = self.history.since if name == JOURNAL else None
            return Problem(name, since, wrong, self._dependents(name))
        use = self.history.uses.get(digest)
        if use is None:
            return Problem(name, None, wrong, NOTHING if self.history.problem is None else _UNKNOWN)
        return Problem(name, use.round, wrong, use.dependents)

    def _below(self) -> Iterator[Path]:
        """Yield all that lies in the folders of a run; what foreign ones hold is not looked at."""
        for folder, folders, files in os.walk(self.directory.path):
            yield from (Path(folder, name) for name in (*folders, *files))
            below = Path(folder).relative_to(self.directory.path)
            folders[:] = [name for name in folders if _is_ours(below / name)]

    def _unreadable(self, name: str) -> str | None:
        readers = {CONFIG: self.directory.config, ENVIRONMENT: self.directory.environment}
        try:
            if name in readers:
                readers[name]()
        except RunDirectoryError as error:
            return str(error)
        return self.history.problem if name == JOURNAL else None

    def _dependents(self, name: str) -> str:
        if name == JOURNAL and self.history.problem is not None:
            return f"round {self.history.since} and all after it" if self.history.since else "every round"
        return _DEPENDENTS.get(name, NOTHING)

    def _digest(self, name: str) -> str | None:
        """Return the digest that a file is named by, or None if it is no blob."""
        path = self.directory.path / name
        named = is_digest(path.stem) and self.directory.blobs.path(path.stem) == path
        return path.stem if named else None

    def _name(self, path: Path) -> str:
        return path.relative_to(self.directory.path).as_posix()


def _manifest(
    directory: RunDirectory, finished: bool
) -> tuple[Mapping[str, Mapping[str, Any]] | None, str | None]:
    if not finished:
        return None, None
    try:
        manifest = directory.manifest()
    except RunDirectoryError as error:
        return None, str(error)
    return manifest.files, _disagreement(directory, manifest)


def _disagreement(directory: RunDirectory, manifest: Manifest) -> str | None:
    try:
        with directory.journal() as journal:
            digest = journal.digest()
    except StoreError:  # which is another problem
        return None
    same = manifest.digest == digest
    return (
        None
        if same
        else f"is of a run with digest {manifest.digest:.80}, and the journal ends with {digest:.80}"
    )


def _history(directory: RunDirectory, finished: bool) -> _History:
    try:
        with directory.journal() as journal, journal.snapshot():
            return _read(journal, directory, finished)
    except StoreError as error:
        return _History(0, {}, str(error), None)


def _read(journal: Journal, directory: RunDirectory, finished: bool) -> _History:
    last = journal.last_round() or 0
    try:
        journal.verify_chain()
        journal.verify_form()
        pending(journal)
        _check_events(journal, directory)
        _check_states(journal)
    except ChainError as error:
        return _History(last, uses(journal, error.round - 1, finished), str(error), error.round)
    return _History(last, uses(journal, last, finished))


def _check_events(journal: Journal, directory: RunDirectory) -> None:
    """Read every event, and compare numbers of measures and cells with those that the run was calibrated with."""
    measures: set[int] = set()
    cells = 0
    for event in journal.events():
        value = value_of(event)
        if isinstance(value, Calibrated):
            measures = {len(value.ranges.low)}
            cells = _cells(directory, value.centroids)
        if not measures_of(value) <= measures:
            what = f"speaks of {max(measures_of(value) - measures)} measures, unlike the calibration"
        elif isinstance(value, Outcome) and 0 < cells <= value.cell:
            what = f"names cell {value.cell} of an archive of {cells}"
        else:
            continue
        message = f"event {event.seq} of round {event.round} {what}; restore the journal from a copy"
        raise ChainError(message, event.round, event.seq)


def _cells(directory: RunDirectory, centroids: str) -> int:
    """Return how many cells the archive has, 0 where the file does not say: that is another problem."""
    try:
        shape = shapes(directory.blobs.get(centroids)).get("centroids")
    except StoreError:
        return 0
    return shape[0] if shape else 0


def _check_states(journal: Journal) -> None:
    """Compare the table of kept states, which no digest covers, with the censuses."""
    censuses = values(journal.events(kind="census"), Census)
    measured = {(census.organism, census.round): census.state for census in censuses}
    for state in journal.states():
        if measured.get((state.organism, state.round)) != state.digest:
            raise ChainError(
                f"round {state.round} keeps another state of organism {state.organism} than its census says; "
                "the journal was altered",
                state.round,
            )
