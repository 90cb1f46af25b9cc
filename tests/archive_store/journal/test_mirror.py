"""A journal that follows another one."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive_store.errors import JournalError
from archive_store.journal import connection, mirror
from archive_store.journal.chain import numbered, round_digest
from archive_store.journal.journal import BASE, Journal, Timing
from archive_store.journal.mirror import Mirror


def begun(path: Path, base: str = "base") -> Journal:
    journal = Journal.create(path)
    journal.put_meta(BASE, base)
    journal.put_meta("score_name", "accuracy")
    return journal


def add(journal: Journal, text: str = "") -> None:
    last = journal.last_round()
    round = 0 if last is None else last + 1
    events = numbered(round, [("summary", {"round": round, "text": text}), ("other", {"value": round})])
    before = (journal.meta(BASE) or "") if last is None else journal.digest(last)
    journal.write_round(
        round, events, {}, [Timing(None, "wall", 0.5, "driver")], round_digest(before, events)
    )


def same(one: Path, other: Path) -> bool:
    """Whether two journals hold the same rounds."""
    found = []
    for path in (one, other):
        with Journal.open(path, readonly=True) as journal:
            journal.verify_chain()
            found.append(
                (journal.meta("score_name"), journal.rounds(), list(journal.events()), journal.timings())
            )
    return found[0] == found[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(0, 5), min_size=1, max_size=6), at_once=st.integers(1, 4))
def test_however_it_is_followed_it_holds_the_same_rounds(steps, at_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror")
    with pytest.MonkeyPatch.context() as patch, begun(folder / "journal.sqlite") as journal:
        patch.setattr(mirror, "ROUNDS", at_once)
        copy = Mirror(folder / "journal.sqlite", folder / "copy.sqlite")
        assert copy.follow() is None
        for rounds in steps:
            for _ in range(rounds):
                add(journal)
            assert copy.follow() == journal.last_round()
        assert same(folder / "journal.sqlite", folder / "copy.sqlite")


def test_another_journal_in_its_place_is_copied_anew(tmp_path):
    copy = Mirror(tmp_path / "journal.sqlite", tmp_path / "copy.sqlite")
    for base, text in (("one", ""), ("other", ""), ("other", "x")):
        with begun(tmp_path / "journal.sqlite", base) as journal:
            for _ in range(3):
                add(journal, text)
            assert copy.follow() == 2
            assert same(tmp_path / "journal.sqlite", tmp_path / "copy.sqlite")
        (tmp_path / "journal.sqlite").unlink()


def test_its_writer_can_end_the_journal_between_two_looks(tmp_path):
    """Leaving WAL takes that nobody has the journal open."""
    journal = begun(tmp_path / "journal.sqlite")
    add(journal)
    copy = Mirror(tmp_path / "journal.sqlite", tmp_path / "copy.sqlite")
    copy.follow()
    journal.finish(patience=0)
    assert copy.follow() == 0
    assert same(tmp_path / "journal.sqlite", tmp_path / "copy.sqlite")


def test_the_journal_of_a_crash_is_followed_and_stays_as_it_was(tmp_path):
    with begun(tmp_path / "journal.sqlite") as journal:
        add(journal)
        for suffix in ("", "-wal"):  # as a killed process leaves it, without its shared memory
            shutil.copy(tmp_path / f"journal.sqlite{suffix}", tmp_path / f"dead.sqlite{suffix}")
    before = {path.name: path.read_bytes() for path in tmp_path.glob("dead*")}
    assert Mirror(tmp_path / "dead.sqlite", tmp_path / "copy.sqlite").follow() == 0
    assert {path.name: path.read_bytes() for path in tmp_path.glob("dead*")} == before
    assert same(tmp_path / "dead.sqlite", tmp_path / "copy.sqlite")


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        (lambda path: path.write_bytes(b"nonsense" * 1000), "cannot be used"),
        (lambda path: path.unlink(), "there is no journal"),
        (lambda path: _format(path, 9), "has format 9, this version reads 1; use the version that wrote it"),
    ],
)
def test_what_is_no_journal_is_refused(spoilt, told, tmp_path):
    with begun(tmp_path / "journal.sqlite") as journal:
        add(journal)
    spoilt(tmp_path / "journal.sqlite")
    with pytest.raises(JournalError, match=told):
        Mirror(tmp_path / "journal.sqlite", tmp_path / "copy.sqlite").follow()


def _format(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {number}")
    assert number != connection.FORMAT
