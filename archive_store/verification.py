"""Verification: whether every byte of a run is as it was written, and what depends on those that are not.

Of a finished run every file is compared with the manifest, and the manifest with itself. Of an unfinished one
the journal's events are compared with their chain of digests, and every blob with its name. No digest covers
there: configuration and environment (a resume compares them with what it finds), timings and incidents. Where
the end of SQLite's write-ahead log is damaged, its rounds are lost as in a power cut; a resume makes them again.

``plots/``, ``report.html`` and ``log.jsonl`` can be made again and are not covered, nor is ``lock``.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_store.blobs import is_digest
from archive_store.dependents import NOTHING, Use, uses
from archive_store.errors import UNREADABLE, ChainError, RunDirectoryError, StoreError
from archive_store.journal.journal import Journal
from archive_store.lock import LOCK
from archive_store.run_directory import RunDirectory, file_digest

CONFIG, ENVIRONMENT, JOURNAL, MANIFEST = "config.yaml", "environment.json", "journal.sqlite", "manifest.json"
NOT_COVERED = ("plots", "report.html", "log.jsonl", LOCK)

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
    if not (directory.finished() or directory.journal_path.is_file()):
        RunDirectory.open(path)
    run = _Run(directory, _history(directory), *_manifest(directory))
    required = set(run.required())
    absent = {name for name in required if not (path / name).is_file()}
    sizes: list[int] = []
    problems = [run.problem(name, "is missing") for name in absent]
    for name in {*required, *run.there()} - absent:
        try:
            wrong = run.wrong(name)
            sizes.append((path / name).stat().st_size)
        except FileNotFoundError:  # a live run has just removed it
            continue
        except OSError as error:
            wrong = f"cannot be read: {error.strerror}"
        if wrong is not None:
            problems.append(run.problem(name, wrong))
    return Verification(
        run=str(path),
        finished=directory.finished(),
        rounds=run.history.rounds,
        files=len(sizes),
        bytes=sum(sizes),
        problems=tuple(sorted(problems, key=lambda problem: problem.file)),
    )


@dataclass(frozen=True, slots=True)
class _History:
    """What the journal says, as far as it can be believed."""

    rounds: int
    uses: Mapping[str, Use]
    problem: str | None = None
    since: int | None = None  # round in which the problem is


@dataclass(frozen=True, slots=True)
class _Run:
    """A run with its manifest's entries: None if it has not ended, or if its manifest is damaged."""

    directory: RunDirectory
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
        if self.directory.finished():
            yield MANIFEST
        if self.files is None:
            yield from (self._name(self.directory.blobs.path(one)) for one in self.directory.blobs.digests())
            return
        for folder, folders, files in os.walk(self.directory.path):
            if Path(folder) == self.directory.path:
                folders[:] = [name for name in folders if name not in NOT_COVERED]
                files = [name for name in files if name not in NOT_COVERED]
            yield from (self._name(Path(folder, name)) for name in files)

    def wrong(self, name: str) -> str | None:
        """Return what is wrong with a file that is there, or None."""
        path = self.directory.path / name
        if name == MANIFEST:
            return self.complaint
        if self.files is not None and name not in self.files:
            return "is not listed in the manifest"
        entry = {} if self.files is None else self.files[name]
        size, wanted = path.stat().st_size, self._digest(name) or entry.get("sha256")
        if size != entry.get("bytes", size):
            return f"has {size} bytes and not {entry['bytes']}"
        if wanted is not None and (found := file_digest(path)) != wanted:
            return f"was altered: its bytes have SHA-256 {found} and not {wanted}"
        return self._unreadable(name)

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


def _manifest(directory: RunDirectory) -> tuple[Mapping[str, Mapping[str, Any]] | None, str | None]:
    try:
        return (directory.manifest() if directory.finished() else None), None
    except RunDirectoryError as error:
        return None, str(error)


def _history(directory: RunDirectory) -> _History:
    try:
        with directory.journal() as journal, journal.snapshot():
            return _read(journal, directory.finished())
    except StoreError as error:
        return _History(0, {}, str(error), None)


def _read(journal: Journal, finished: bool) -> _History:
    last = journal.last_round() or 0
    try:
        journal.verify_chain()
        journal.verify_form()
        _check_states(journal)
    except ChainError as error:
        return _History(last, uses(journal, error.round - 1, finished), str(error), error.round)
    return _History(last, uses(journal, last, finished))


def _check_states(journal: Journal) -> None:
    """Compare the table of kept states, which no digest covers, with the censuses."""
    try:
        censuses = [(event.round, event.value) for event in journal.events(kind="census")]
        measured = {(value["organism"], round): value["state"] for round, value in censuses}
    except UNREADABLE as error:
        raise ChainError(f"a census cannot be read ({error!r}); the journal was altered", 0) from None
    for state in journal.states():
        if measured.get((state.organism, state.round)) != state.digest:
            raise ChainError(
                f"round {state.round} keeps another state of organism {state.organism} than its census says; "
                "the journal was altered",
                state.round,
            )
