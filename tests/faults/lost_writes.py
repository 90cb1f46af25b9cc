"""Runs in miniature that end in a power cut, which leaves whatever `tests.faults.power_cuts` allows."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_store.run_directory import RunDirectory
from qd.seeding import generator
from tests.faults.crashes import go_on
from tests.faults.power_cuts import Disk, Keep, Log, put_back
from tests.faults.recorded_files import recorded
from tests.fixtures.miniature import begin, drive, miniature, outcome, resume
from tests.fixtures.small_runs import digests

FINISHED = "finished"
# Shares of the uncertain names and sectors that a power cut leaves: none, all, names or sectors alone, and some.
SHARES = ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.9, 0.5), (0.5, 0.9))
Left = dict[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Cut:
    """A power cut after so many operations of a log."""

    log: Log
    point: int
    shares: tuple[float, float]

    def left(self) -> Left:
        """Draw what it leaves."""
        return _left(Disk(self.log.operations[: self.point]), self.point, self.shares)


def launched(folder: Path) -> Log:
    """Note down a whole run, and what it said was done."""
    log = Log(folder.parent)
    with recorded(log):
        begin(folder, miniature())
        log.promise(0)
        drive(folder, miniature(), lambda progress: log.promise(progress.round))
        log.promise(FINISHED)
    return log


def resumed(folder: Path, launch: Log, point: int) -> Log:
    """Note down the resume of a run whose process, but not the machine, was stopped at a point of its log."""
    log = launch.until(point, folder.parent)
    _fill(folder.parent, Disk(log.operations).left(lambda: True, lambda: True))
    with recorded(log):
        resume(folder, lambda progress: log.promise(progress.round))
        log.promise(FINISHED)
    return log


def cuts(log: Log, since: int = 0) -> list[Cut]:
    """List power cuts after every operation of a log that leave different things, or break other promises."""
    found: dict[tuple[int, frozenset[Any]], Cut] = {}
    disk = Disk(log.operations[:since])
    for point in range(since, len(log.operations) + 1):
        if point > since:
            disk.take(log.operations[point - 1])
        for shares in SHARES:
            state = frozenset(_left(disk, point, shares).items())
            found.setdefault((len(disk.promises), state), Cut(log, point, shares))
    return list(found.values())


def survives(cut: Cut, folder: Path, wanted: dict[str, Any]) -> None:
    """See that a power cut took nothing that was said to last, and that the run ends as if it had not been."""
    _fill(folder.parent, cut.left())
    promises = Disk(cut.log.operations[: cut.point]).promises
    if promises:
        committed = max(digests(folder), default=-1)
        assert committed >= max(set(promises) - {FINISHED}), "a round that was journaled is lost"
        assert RunDirectory.open(folder).finished() >= (FINISHED in promises), "the manifest is lost"
    go_on(folder)
    found = outcome(folder)
    assert found["digests"] == wanted["digests"]
    assert found["contents"] == wanted["contents"]
    assert set(found["blobs"]) >= set(wanted["blobs"]), "a blob is lost"


def _left(disk: Disk, point: int, shares: tuple[float, float]) -> Left:
    draw = generator(0, point, f"power cut:{shares}").random
    names, sectors = (_keeping(share, draw) for share in shares)
    return disk.left(names, sectors)


def _keeping(share: float, draw: Callable[[], float]) -> Keep:
    return lambda: draw() < share


def _fill(folder: Path, left: Left) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path)
    put_back(left, folder)
