"""A run as a list of runs shows it, followed at little cost: only what changed is read, and no round twice."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from archive_store.errors import NoRunError, StoreError
from archive_store.holder import RUNNING, is_driven, state
from archive_store.journal.journal import SCORE_NAME, Journal
from archive_store.journal.values import checked
from archive_store.lock import LOCK
from archive_store.run_directory import RunDirectory
from archive_store.shown import shown
from runs.results.summary import NAME, identity

LONGEST = 300  # characters of a reason
DAMAGED = "damaged"
CURVES = ("best_validation_score", "coverage", "qd_score")
_FILES = ("config.yaml", "journal.sqlite", "journal.sqlite-wal", "manifest.json", LOCK)

TWICE, RETRY = 2, 10  # failures until a run is damaged, and looks until it is tried again
_NO_CURVES: Mapping[str, tuple[float | None, ...]] = dict.fromkeys(CURVES, ())

Stamp = tuple[tuple[int, int, int] | None, ...]  # of each file: when it changed, its size, which it is


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a run; what is not known (yet) is None."""

    key: str  # in addresses
    name: str  # its path from the watched folder, as it may be shown
    state: str  # finished, running, stopped, crashed or damaged
    version: int = 0  # another one after every change
    reason: str | None = None  # why it is damaged
    seed: int | None = None
    arm: str | None = None
    task: str | None = None
    family: str | None = None
    planned: int | None = None
    score_name: str = "score"
    rounds: tuple[int, ...] = ()  # committed, from 1 on
    curves: Mapping[str, tuple[float | None, ...]] = field(default_factory=lambda: _NO_CURVES)

    @property
    def round(self) -> int:
        """The last committed round."""
        return self.rounds[-1] if self.rounds else 0

    def last(self, curve: str) -> float | None:
        """Return the newest value of one of `CURVES`."""
        return self.curves[curve][-1] if self.curves[curve] else None


class Followed:
    """A run that is looked at again and again.

    Parameters
    ----------
    key, name
        Of what is seen of it.
    path
        Its folder.
    versions
        Numbers of what is seen of any run, none of which comes twice.
    """

    def __init__(self, key: str, name: str, path: Path, versions: Iterator[int]) -> None:
        self.path = path
        self._versions = versions
        self.seen = Seen(key, name, RUNNING)
        self._stamp: Stamp | None = None
        self._digest: str | None = None
        self._failures = 0

    def look(self) -> Seen | None:
        """Return what is to be seen of the run now; None: it is gone.

        No lock is taken, and a run that nothing has happened to is not opened. What cannot be read is damaged if it
        is so twice: files change while they are read.
        """
        stamp, driven = tuple(_stamp(self.path / name) for name in _FILES), is_driven(self.path)
        if not self.path.is_dir():
            return None
        if stamp == self._stamp and not self._failures and (driven or self.seen.state != RUNNING):
            return self.seen
        if stamp == self._stamp and self._failures >= TWICE and self._failures % RETRY:
            self._failures += 1
            return self.seen
        try:
            found, self._failures = self._read(driven), 0
        except NoRunError:
            return None
        except StoreError as error:
            self._failures += 1
            if self._failures < TWICE:
                return self.seen
            found = replace(self.seen, state=DAMAGED, reason=shown(str(error), LONGEST))
        self._stamp = stamp
        if found != self.seen:
            self.seen = replace(found, version=next(self._versions))
        return self.seen

    def _read(self, driven: bool | None) -> Seen:
        directory = RunDirectory.open(self.path)
        config = directory.config()
        own, planned = identity(config), config.get("rounds")
        with directory.journal() as journal, journal.snapshot():
            rounds, curves = self._continued(journal)
            score = shown(journal.meta(SCORE_NAME) or "score", NAME)
        return replace(
            self.seen,
            state=state(directory.finished(), driven),
            reason=None,
            **{name: own[name] for name in ("seed", "arm", "task", "family")},
            planned=planned if isinstance(planned, int) else None,
            score_name=score,
            rounds=rounds,
            curves=curves,
        )

    def _continued(self, journal: Journal) -> tuple[tuple[int, ...], Mapping[str, tuple[float | None, ...]]]:
        """Return the rounds and curves with those of the rounds that came since; all anew of another run."""
        last, digests = self.seen.round, journal.rounds()
        if self._digest is not None and digests.get(last) == self._digest:
            known, curves, after = self.seen.rounds, self.seen.curves, last
        else:
            known, curves, after = (), _NO_CURVES, -1
        new = [checked(event) for event in journal.events(kind="summary", after=after)]
        rounds = (*known, *(body["round"] for body in new))
        self._digest = digests.get(rounds[-1] if rounds else 0)
        return rounds, {name: (*curves[name], *_numbers(new, name)) for name in CURVES}


def _numbers(bodies: Sequence[Mapping[str, Any]], name: str) -> list[float | None]:
    values = [body[name] for body in bodies]
    return [
        float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None for value in values
    ]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
