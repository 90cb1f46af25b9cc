"""Pages of runs, made when somebody asks for them, and not so often that a run on the same machine is slowed by it."""

import os
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archive_store.errors import StoreError
from archive_store.holder import RUNNING
from archive_store.reading import open_run
from runs.errors import RunError
from runs.machine.clock import Clock
from runs.results.rows import joined_rows
from runs.results.summary import summarise
from runs.watching.copies import Copy
from runs.watching.followed import Seen

SHARE = 0.007  # of the processors, for pages of runs that go on: with all else a watcher does, a hundredth


@dataclass(slots=True)
class _Made:
    """The newest page of a run."""

    copy: Copy
    lock: threading.Lock = field(default_factory=threading.Lock)
    version: int = -1
    page: bytes = b""


class Pages:
    """Makes and keeps the newest page of each run.

    Parameters
    ----------
    is_one
        Whether there is one run alone, and no list of them.
    clock
        Monotonic seconds.
    """

    def __init__(self, is_one: bool, clock: Clock = time.monotonic) -> None:
        self._is_one = is_one
        self._clock = clock
        self._folder = tempfile.TemporaryDirectory(prefix="plasmodia-watch-", ignore_cleanup_errors=True)
        self._made: dict[str, _Made] = {}
        self._lock = threading.Lock()
        self._rested = clock()  # when the next page of a run that goes on may be made

    def close(self) -> None:
        """Remove all copies."""
        self._folder.cleanup()

    def newest(self, seen: Seen) -> int:
        """Return the version of the run whose page is worth asking for now: an older one while a run goes on."""
        made = self._made.get(seen.key)
        if made is None or made.version < 0 or seen.state != RUNNING or self._clock() >= self._rested:
            return seen.version
        return made.version

    def rest(self) -> float:
        """Return the seconds until another page of a run that goes on may be made."""
        return max(0.0, self._rested - self._clock())

    def page(self, seen: Seen, path: Path) -> bytes:
        """Return the page of a run: the newest, or while a run goes on and it is not time yet, the one before.

        Of a run that cannot be read, or has no round yet, it is the last there was, or one that says so.

        Parameters
        ----------
        seen
            What was seen of the run last.
        path
            Its folder.
        """
        with self._lock:
            if seen.key not in self._made:
                place = Path(self._folder.name) / str(len(self._made)) / path.resolve().name
                self._made[seen.key] = _Made(Copy(path, place))
            made = self._made[seen.key]
        with made.lock:
            if made.version < 0 or (made.version != seen.version and self.newest(seen) == seen.version):
                worked = time.thread_time()
                made.page = self._page(seen, made.copy) or made.page or self._without_rounds(seen)
                made.version = seen.version
                self._rested = self._clock() + (time.thread_time() - worked) / (SHARE * _processors())
            return made.page

    def _page(self, seen: Seen, copy: Copy) -> bytes:
        """Return the page of a run, or nothing of one that cannot be read."""
        from analysis.live.run import live_page
        from runs.results.slo.shown import block

        try:
            folder = copy.refresh()
            summary = summarise(folder)
            run, rows = open_run(folder), joined_rows(summary)
            return live_page(run, rows, summary.rounds, block(run), seen.version, self._is_one)
        except (RunError, StoreError):  # which is told as the run's state
            return b""

    def _without_rounds(self, seen: Seen) -> bytes:
        from analysis.live.run import page_without_rounds

        why = seen.reason or "No round is finished yet; the page comes with the first."
        return page_without_rounds(seen.name, why, seen.version, self._is_one)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def told(seen: Seen, page: int) -> dict[str, Any]:
    """Return what a browser is told of a run at once; its page comes after.

    Parameters
    ----------
    seen
        What was seen of it.
    page
        The version whose page is worth asking for.
    """
    return {
        **{
            name: getattr(seen, name)
            for name in (
                "key",
                "name",
                "state",
                "reason",
                "seed",
                "arm",
                "task",
                "family",
                "planned",
                "score_name",
            )
        },
        "round": seen.round,
        "score": seen.last("best_validation_score"),
        "coverage": seen.last("coverage"),
        "qd_score": seen.last("qd_score"),
        "page": page,
    }


def curves_of(runs: Sequence[Seen]) -> Sequence[Mapping[str, Any]]:
    """Return the charts in which runs are compared, as the page's script takes them."""
    from analysis.live.comparison import Course, comparison

    courses = [Course(each.name, each.score_name, each.rounds, each.curves) for each in runs]
    return comparison(courses)
