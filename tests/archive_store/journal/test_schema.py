import sqlite3

import pytest

from archive_store.errors import JournalError
from archive_store.journal.journal import Journal


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "journal.sqlite"
    Journal.create(path).finish()
    return path


def changed(path, *statements):
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def test_a_new_journal_is_ours(path):
    for readonly in (True, False):
        Journal.open(path, readonly).close()


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["CREATE TRIGGER t AFTER INSERT ON round BEGIN DELETE FROM event; END"], "another trigger 't' than"),
        (["CREATE TABLE more (x)"], "another table 'more' than"),
        (["CREATE INDEX i ON timing (round)"], "another index 'i' than"),
        (["DROP VIEW metric"], "no metric, unlike"),
        (["DROP TABLE timing", "CREATE TABLE timing (round)"], "another table 'timing' than"),
        (
            [
                "DROP TABLE event",
                "CREATE VIEW event AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
                "SELECT x AS round, 0 AS seq, NULL AS organism, 'x' AS kind, '{}' AS body, '' AS mark FROM n",
            ],
            "another view 'event' than",
        ),
    ],
)
def test_any_other_is_refused_before_anything_is_read_or_written(path, statements, told):
    changed(path, *statements)
    before = path.read_bytes()
    for readonly in (True, False):
        with pytest.raises(JournalError, match=f"has {told} the journals that this version writes"):
            Journal.open(path, readonly)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_trigger_that_goes_by_the_name_of_an_index_of_sqlites_is_found(path):
    changed(
        path,
        "CREATE TRIGGER t AFTER INSERT ON round BEGIN DELETE FROM event; END",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET name = 'sqlite_autoindex_meta_1' WHERE name = 't'",
    )
    with pytest.raises(JournalError, match=r"another trigger|malformed database schema"):
        Journal.open(path, readonly=True)
