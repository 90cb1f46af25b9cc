"""A run that a power cut ends keeps all that it had said was done, and when it is resumed ends as if nothing had been.

By default the power cuts are taken by a stride; ``pytest --crash-points all`` takes each.
"""

from fnmatch import fnmatch

import pytest

from archive_store import durable
from archive_store.errors import StoreError
from runs.errors import PlasmodiaError
from tests.faults.crashes import memory
from tests.faults.lost_writes import Cut, cuts, launched, resumed, survives
from tests.faults.power_cuts import Disk, Log, Promise, Rename, Sync
from tests.fixtures.miniature import outcome
from tests.fixtures.small_runs import files


@pytest.fixture(scope="module")
def log():
    """All that a run did to its files."""
    with memory() as place:
        return launched(place / "run")


def test_the_record_is_whole(folder, unharmed):
    log = launched(folder)
    assert outcome(folder) == unharmed
    left = Disk(log.operations).left(lambda: True, lambda: True)
    assert {name: data for name, data in left.items() if data is not None} == files(folder.parent)


def test_a_power_cut_is_survived_anywhere(some, log, folder, unharmed):
    for cut in some(cuts(log), 110):
        survives(cut, folder, unharmed)


def test_a_power_cut_is_survived_with_a_rollback_journal_too(some, folder, unharmed, monkeypatch):
    """As on a network file system: there a commit is the removal of a file."""
    monkeypatch.setattr(durable, "on_network", lambda path: True)
    for cut in some(cuts(launched(folder)), 40):
        survives(cut, folder, unharmed)


@pytest.mark.long
def test_a_power_cut_is_survived_when_a_stopped_process_was_followed_by_another(some, log, folder, unharmed):
    """What the first had not come to synchronise, the second must not take for durable."""
    begun = promises(log)[0]
    syncs = [point for point, done in enumerate(log.operations) if isinstance(done, Sync) and point > begun]
    for stopped in [*some(syncs, 8), syncs[-1]]:
        again = resumed(folder, log, stopped)
        for point in promises(again, stopped):
            survives(Cut(again, point, (0.0, 0.0)), folder, unharmed)


@pytest.mark.parametrize(
    "name", ["*.safetensors", "??", "config.yaml", "journal.sqlite-wal", "manifest.json", "run", ""]
)
def test_a_loss_that_is_not_allowed_is_noticed(name, log, folder, unharmed):
    """Of a disk, that is, which does not synchronise files or folders of some name, but says so."""
    names = {done.inode: done.new for done in log.operations if isinstance(done, Rename) and done.new}
    lying = [
        done
        for done in log.operations
        if not (isinstance(done, Sync) and fnmatch(names.get(done.inode, ""), name))
    ]
    assert len(lying) < len(log.operations)
    lied = Log(log.root, lying)
    assert any(
        not bears(Cut(lied, point, shares), folder, unharmed)
        for point in promises(lied)
        for shares in ((1.0, 0.0), (0.0, 1.0))
    )


def promises(log, since=0):
    """Give the points of a log at which something was said to be done."""
    return [
        point for point, done in enumerate(log.operations, 1) if point > since and isinstance(done, Promise)
    ]


def bears(cut, folder, wanted):
    try:
        survives(cut, folder, wanted)
    except (AssertionError, PlasmodiaError, StoreError):
        return False
    return True
