import signal
import sqlite3

import pytest

from archive_store.journal import bounded

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT {} FROM n"


@pytest.fixture
def database():
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(bounded, "LEAST", 1_000_000)


def test_a_query_that_ends_is_answered(database, little):
    assert bounded.rows(database, "SELECT ?, ?", (1, "a"), 0) == [(1, "a")]
    many = bounded.rows(database, f"{ENDLESS.format('x')} LIMIT 1000", (), 0)
    assert many == [(number,) for number in range(1, 1001)]


@pytest.mark.parametrize("columns", ["count(*)", "x", "zeroblob(1000)", "printf('%.*c', 1000, 'x')"])
def test_one_that_does_not_is_stopped(database, little, columns):
    with pytest.raises(sqlite3.DatabaseError, match="its tables do not end where the file does"):
        bounded.rows(database, ENDLESS.format(columns), (), 0)
    assert bounded.rows(database, "SELECT 1", (), 0) == [(1,)]


def test_larger_files_may_take_longer(database, little):
    query = f"{ENDLESS.format('x')} LIMIT 200000"
    with pytest.raises(sqlite3.DatabaseError, match="its tables do not end"):
        bounded.rows(database, query, (), 0)
    assert len(bounded.rows(database, query, (), 1_000_000)) == 200_000


def test_an_interrupt_is_heard_while_sqlite_works(database):
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            bounded.rows(database, ENDLESS.format("count(*)"), (), 10**12)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_other_errors_stay_what_they_are(database):
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        bounded.rows(database, "SELECT x FROM missing", (), 0)
