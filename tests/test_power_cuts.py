"""The model of a power cut itself, on files that are small enough to see what it leaves."""

from pathlib import Path

import pytest

from tests.faults.power_cuts import SECTOR, Disk, Log

ROOT = Path("/disk")


@pytest.fixture
def log():
    return Log(ROOT)


def left(log, names=lambda: True, sectors=lambda: True):
    return Disk(log.operations).left(names, sectors)


def nothing():
    return False


def test_what_was_not_synchronised_may_all_be_there_or_none_of_it(log):
    log.create(ROOT / "folder", is_folder=True)
    log.write(log.create(ROOT / "folder" / "a"), 0, b"x")
    assert left(log) == {"folder": None, "folder/a": b"x"}
    assert left(log, names=nothing) == {}
    assert left(log, sectors=nothing) == {"folder": None, "folder/a": b""}


def test_a_file_that_was_synchronised_has_its_bytes_but_not_yet_its_name(log):
    inode = log.create(ROOT / "a")
    log.write(inode, 0, b"x")
    log.sync(inode)
    assert left(log, nothing, nothing) == {}
    assert left(log, sectors=nothing) == {"a": b"x"}
    log.sync(log.inode(ROOT))
    assert left(log, nothing, nothing) == {"a": b"x"}


def test_a_write_is_torn_at_sectors_of_the_disk(log):
    inode = log.create(ROOT / "a")
    log.write(inode, 0, b"o" * 2 * SECTOR)
    log.sync(inode)
    log.write(inode, SECTOR - 1, b"n" * (SECTOR + 2))
    kept = iter([True, False, True])
    assert left(log, sectors=lambda: next(kept)) == {"a": b"o" * (SECTOR - 1) + b"n" + b"o" * SECTOR + b"n"}


def test_what_is_missing_before_a_later_sector_is_zeros(log):
    inode = log.create(ROOT / "a")
    log.write(inode, 0, b"n" * 2 * SECTOR)
    kept = iter([False, True])
    assert left(log, sectors=lambda: next(kept)) == {"a": bytes(SECTOR) + b"n" * SECTOR}


def test_a_truncation_may_be_lost(log):
    inode = log.create(ROOT / "a")
    log.write(inode, 0, b"xyz")
    log.sync(inode)
    log.truncate(inode, 1)
    assert left(log) == {"a": b"x"}
    assert left(log, sectors=nothing) == {"a": b"xyz"}


def test_a_rename_happens_or_does_not(log):
    for name in ("old", "new"):
        log.write(log.create(ROOT / name), 0, name.encode())
    log.sync(log.inode(ROOT))
    log.rename(ROOT / "old", ROOT / "new")
    assert left(log) == {"new": b"old"}
    assert left(log, names=nothing) == {"new": b"new", "old": b"old"}


def test_a_removed_file_may_be_back(log):
    log.write(log.create(ROOT / "a"), 0, b"x")
    log.sync(log.inode(ROOT))
    log.unlink(ROOT / "a")
    assert left(log) == {}
    assert left(log, names=nothing) == {"a": b"x"}


def test_a_folder_takes_along_what_is_in_it(log):
    folder = log.create(ROOT / "old", is_folder=True)
    log.write(log.create(ROOT / "old" / "a"), 0, b"x")
    log.rename(ROOT / "old", ROOT / "new")
    assert left(log) == {"new": None, "new/a": b"x"}
    assert log.inode(ROOT / "new") == folder
    log.unlink(ROOT / "new" / "a")
    assert left(log) == {"new": None}


def test_another_program_goes_on_where_one_was_stopped(log):
    inode = log.create(ROOT / "a")
    log.write(inode, 0, b"x")
    point = len(log.operations)
    log.unlink(ROOT / "a")
    again = log.until(point, ROOT)
    assert again.create(ROOT / "a") == inode
    again.sync(inode)
    again.sync(again.inode(ROOT))
    assert left(again, nothing, nothing) == {"a": b"x"}
    assert again.create(ROOT / "b") != inode
