import json
import sqlite3
import subprocess
import sys

import pytest

from archive_store.errors import ChainError, JournalError, WriteError
from archive_store.journal.chain import numbered, round_digest
from archive_store.journal.journal import BASE, Incident, Journal, State, Timing


@pytest.fixture
def journal(tmp_path):
    with Journal.create(tmp_path / "journal.sqlite") as journal:
        journal.put_meta(BASE, "{}")
        yield journal


def write(journal, round, items, states=None, timings=()):
    events = numbered(round, items)
    digest = round_digest(journal.digest(round - 1) if round else "{}", events)
    journal.write_round(round, events, states or {}, list(timings), digest)
    return digest


def candidate(objective, genome="0" * 64):
    return {"component": [1, 0, 2], "objective": objective, "genome": genome}


def outcome(cell, status, objective):
    return ("outcome", {"cell": cell, "status": status, "candidate": candidate(objective)})


def summary(round, **values):
    return ("summary", {"round": round, **values})


def test_a_round_is_read_back_as_it_was_written(journal):
    items = [("census", {"organism": 1, "loss": float("nan")}), summary(0, coverage=0.5)]
    digest = write(journal, 0, items, {1: "a" * 64}, [Timing(1, "train", 0.5, "w0")])
    assert journal.rounds() == {0: digest}
    assert journal.digest() == digest
    assert journal.last_round() == 0
    events = list(journal.events())
    assert events == numbered(0, items)
    assert events[0].body == '{"kind":"census","loss":"NaN","organism":1}'
    assert journal.states() == [State(1, 0, "a" * 64)]
    assert journal.timings() == [Timing(1, "train", 0.5, "w0", 0)]


def test_what_no_digest_covers_may_come_later(journal):
    """A duration of round 0 comes with round 1, and one of round 1 after it."""
    write(journal, 0, [summary(0)], timings=[Timing(None, "wall", 1.0, "driver")])
    digest = write(journal, 1, [summary(1)], timings=[Timing(None, "write", 2.0, "driver", 0)])
    journal.write_timings(1, [Timing(None, "write", 3.0, "driver")])
    assert journal.digest() == digest
    assert [(row.round, row.seconds) for row in journal.timings()] == [(0, 1.0), (0, 2.0), (1, 3.0)]
    assert [row.seconds for row in journal.timings(since=1)] == [3.0]
    assert [row.seconds for row in journal.timings(names=("wall",))] == [1.0]
    assert journal.timings(names=()) == []
    journal.verify_chain()


def test_an_incident_of_a_round_is_written_with_it(journal):
    told = Incident("2025-01-01T00:00:00Z", 0, None, "memory", "{}")
    events = numbered(0, [summary(0)])
    journal.write_round(0, events, {}, [], round_digest("{}", events), [told])
    journal.incident("2025-01-02T00:00:00Z", "lost", {}, round=1)
    assert journal.incidents("memory") == [told]
    assert [each.kind for each in journal.incidents()] == ["memory", "lost"]


def test_events_are_chosen_by_round_kind_and_last_round(journal):
    for round in range(3):
        write(journal, round, [("census", {"organism": 0}), summary(round)])
    assert [(event.round, event.kind) for event in journal.events(round=1)] == [(1, "census"), (1, "summary")]
    assert [event.round for event in journal.events(kind="summary")] == [0, 1, 2]
    assert [event.round for event in journal.events(kind="summary", until=1)] == [0, 1]
    assert [event.seq for event in journal.events(round=2, kind="summary")] == [1]


def test_a_snapshot_does_not_see_what_is_written_meanwhile(journal):
    write(journal, 0, [summary(0)])
    with Journal.open(journal.path, readonly=True) as reader:
        with reader.snapshot():
            assert reader.last_round() == 0
            write(journal, 1, [summary(1)])
            assert (reader.last_round(), len(list(reader.events()))) == (0, 1)
            reader.verify_chain()
        assert reader.last_round() == 1


def altered(journal, query, *values):
    with sqlite3.connect(journal.path) as database:
        database.execute(query, values)
    database.close()


@pytest.mark.parametrize(
    ("change", "reading"),
    [
        ("UPDATE event SET organism = 'x'", lambda journal: list(journal.events())),
        ("UPDATE event SET body = x'00'", lambda journal: journal.verify_chain()),
        ("UPDATE round SET digest = x'00'", lambda journal: journal.rounds()),
        ("UPDATE meta SET value = x'00'", lambda journal: journal.meta(BASE)),
        ("UPDATE state SET round = 0.5", lambda journal: journal.states()),
        ("UPDATE timing SET seconds = 'long'", lambda journal: journal.timings()),
    ],
)
def test_a_row_of_other_types_is_refused(journal, change, reading):
    write(journal, 0, [summary(0)], {0: "a" * 64}, [Timing(None, "wall", 1.0, "driver")])
    altered(journal, change)
    with pytest.raises(
        JournalError, match=r"holds a row of other types than it was written with: .*; restore"
    ):
        reading(journal)


@pytest.mark.parametrize("byte", [b"\xff", b"\xc2", "\u00e9".encode()])
def test_an_event_whose_text_is_no_text_any_more_is_named(journal, byte):
    write(journal, 0, [summary(0), ("note", {"text": "abcdefgh"})])
    body = b'{"kind":"note","text":"abc' + byte + b'"}'
    altered(journal, "UPDATE event SET body = CAST(? AS TEXT) WHERE seq = 1", body)
    with pytest.raises(ChainError, match=r"round 0, event 1 \(note\) is not as it was written"):
        journal.verify_chain()


def test_a_sound_form_is_no_error(journal):
    write(journal, 0, [summary(0)])
    journal.verify_form()


def test_states_are_newest_first(journal):
    for round in range(3):
        write(journal, round, [], {0: f"{round}" * 64, 1: "b" * 64})
    assert [state.round for state in journal.states(0)] == [2, 1, 0]
    assert {state.organism for state in journal.states()} == {0, 1}


def test_an_empty_journal_says_so(journal):
    assert journal.last_round() is None
    assert journal.rounds() == {}
    with pytest.raises(JournalError, match="has no round None; none is committed"):
        journal.digest()


def test_a_round_that_was_not_committed_is_named(journal):
    write(journal, 0, [])
    with pytest.raises(JournalError, match="has no round 7; 0 to 0 are committed"):
        journal.digest(7)


def test_a_failed_round_leaves_no_trace(journal):
    write(journal, 0, [summary(0)])
    events = numbered(1, [summary(1)])
    digest = round_digest(journal.digest(0), events)
    with pytest.raises(JournalError, match="NOT NULL constraint failed"):
        journal.write_round(1, events, {0: "a" * 64}, [Timing(0, "train", 0.1, None)], digest)
    assert journal.last_round() == 0
    assert [event.round for event in journal.events()] == [0]
    assert journal.states() == []
    write(journal, 1, [summary(1)])


def test_rounds_follow_one_another(journal):
    with pytest.raises(JournalError, match="goes on with round 0, not 1"):
        journal.write_round(1, [], {}, [], "")
    write(journal, 0, [])
    with pytest.raises(JournalError, match="goes on with round 1, not 0"):
        journal.write_round(0, [], {}, [], "")


def test_events_are_numbered_within_their_round(journal):
    events = numbered(0, [summary(0), summary(0)])[1:]
    with pytest.raises(JournalError, match="expected round 0, event 0 but got round 0, event 1"):
        journal.write_round(0, events, {}, [], round_digest("{}", events))


def test_the_digest_must_be_that_of_the_events(journal):
    with pytest.raises(JournalError, match="round 0 was given digest feed, its events have"):
        journal.write_round(0, numbered(0, [summary(0)]), {}, [], "feed")


def test_round_0_stands_on_a_base(tmp_path):
    with (
        Journal.create(tmp_path / "journal.sqlite") as journal,
        pytest.raises(JournalError, match="has no 'base'; put_meta"),
    ):
        journal.write_round(0, [], {}, [], round_digest("{}", []))


def test_meta_is_replaced_and_missing_is_none(journal):
    journal.put_meta("a", "1")
    journal.put_meta("a", "2")
    assert journal.meta("a") == "2"
    assert journal.meta("b") is None


def test_incidents_are_kept_in_order_and_outside_the_digests(journal):
    digest = write(journal, 0, [])
    journal.incident("2025-01-01T00:00:00Z", "retry", {"attempt": 2}, round=3, organism=1)
    journal.incident("2024-01-01T00:00:00Z", "resume", {})
    assert journal.incidents() == [
        Incident("2025-01-01T00:00:00Z", 3, 1, "retry", '{"attempt":2}'),
        Incident("2024-01-01T00:00:00Z", None, None, "resume", "{}"),
    ]
    assert journal.digest() == digest


def test_the_elite_view_is_the_last_accepted_of_each_cell(journal, tmp_path):
    write(journal, 0, [outcome(5, "insert", 0.1), outcome(5, "replace", 0.2), outcome(5, "reject", 0.15)])
    write(journal, 1, [outcome(7, "insert", 0.3), outcome(5, "replace", 0.4)])
    database = sqlite3.connect(journal.path)
    rows = database.execute(
        "SELECT cell, round, seq, objective, component FROM elite ORDER BY cell"
    ).fetchall()
    database.close()
    assert [(*row[:4], json.loads(row[4])) for row in rows] == [
        (5, 1, 1, 0.4, [1, 0, 2]),
        (7, 1, 0, 0.3, [1, 0, 2]),
    ]


def test_the_metric_view_has_the_numbers_of_each_summary(journal):
    write(journal, 0, [summary(0, coverage=0.5, births=3, phase="full", missing=None, lost=float("nan"))])
    database = sqlite3.connect(journal.path)
    rows = database.execute("SELECT round, name, value FROM metric ORDER BY name").fetchall()
    database.close()
    assert rows == [(0, "births", 3), (0, "coverage", 0.5)]


def test_writing_goes_on_after_reopening(journal, tmp_path):
    write(journal, 0, [summary(0)])
    journal.close()
    journal.close()
    with Journal.open(journal.path) as again:
        write(again, 1, [summary(1)])
        again.verify_chain()


def test_a_live_reader_sees_whole_rounds_only_and_cannot_write(journal):
    write(journal, 0, [summary(0)])
    with Journal.open(journal.path, readonly=True) as reader:
        assert reader.last_round() == 0
        write(journal, 1, [summary(1)])
        assert reader.last_round() == 1
        reader.verify_chain()
        with pytest.raises(JournalError, match="attempt to write a readonly database"):
            reader.put_meta("a", "b")


def test_a_finished_journal_is_one_file(journal):
    write(journal, 0, [summary(0)])
    journal.finish()
    assert [path.name for path in journal.path.parent.iterdir()] == ["journal.sqlite"]
    with Journal.open(journal.path, readonly=True) as reader:
        assert reader.last_round() == 0
        reader.verify_chain()


def test_a_changed_objective_is_named_by_round_and_event(journal):
    write(journal, 0, [summary(0)])
    write(journal, 1, [outcome(5, "insert", 0.25), outcome(6, "insert", 0.5)])
    journal.close()
    database = sqlite3.connect(journal.path)
    database.execute("UPDATE event SET body = replace(body, '0.5', '0.6') WHERE round = 1")
    database.commit()
    database.close()
    with (
        Journal.open(journal.path, readonly=True) as reader,
        pytest.raises(ChainError, match=r"round 1, event 1 \(outcome\) is not as it was written"),
    ):
        reader.verify_chain()


def test_damaged_pages_give_one_sentence(journal):
    for round in range(20):
        write(journal, round, [summary(round, text="x" * 500)])
    journal.finish()
    data = bytearray(journal.path.read_bytes())
    data[4096:] = b"\x7f" * (len(data) - 4096)
    journal.path.write_bytes(data)
    with (
        Journal.open(journal.path, readonly=True) as reader,
        pytest.raises(
            JournalError, match=r"journal .*journal.sqlite cannot be used: .*; restore it from a copy"
        ),
    ):
        list(reader.events())


def test_a_full_disk_is_one_sentence_and_leaves_no_trace(journal):
    """SQLite says of a file that may not grow what it says of a full disk."""
    pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
    journal._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(
        WriteError,
        match=r"journal.sqlite cannot be written: database or disk is full; .* resumed when there is room again",
    ):
        write(journal, 0, [summary(0, text="x" * 50_000)])
    journal._database.execute("PRAGMA max_page_count = 1000")
    write(journal, 0, [summary(0, text="x" * 50_000)])
    assert list(journal.rounds()) == [0]


def test_another_writer_is_blamed_and_not_the_file(journal, monkeypatch):
    monkeypatch.setattr("archive_store.journal.connection._BUSY", 0)
    with Journal.open(journal.path) as second:
        journal._database.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="database is locked; close the program that uses it"):
            second.put_meta("key", "value")
        journal._database.execute("ROLLBACK")


class Failing:
    """A connection to a database on a disk that fails."""

    def execute(self, statement):
        raised = sqlite3.OperationalError("disk I/O error")
        raised.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise raised


def test_a_disk_that_fails_at_the_end_is_not_taken_for_a_reader(tmp_path):
    with pytest.raises(WriteError, match=r"cannot be written: disk I/O error; .* when the disk works again"):
        Journal(tmp_path / "journal.sqlite", Failing()).finish()


ENDLESS = """
import sys
from itertools import count
from pathlib import Path
from archive_store.journal.chain import numbered, round_digest
from archive_store.journal.journal import BASE, Journal

journal = Journal.create(Path(sys.argv[1]))
journal.put_meta(BASE, "{}")
digest = "{}"
for round in count():
    events = numbered(round, [("summary", {"round": round, "text": "x" * 5000})] * 5)
    digest = round_digest(digest, events)
    journal.write_round(round, events, {0: "a" * 64}, [], digest)
    print(round, digest, flush=True)
"""


def test_a_killed_writer_leaves_whole_rounds_and_none_it_reported_is_lost(tmp_path):
    path = tmp_path / "journal.sqlite"
    with subprocess.Popen([sys.executable, "-c", ENDLESS, path], stdout=subprocess.PIPE, text=True) as writer:
        lines = [writer.stdout.readline() for _ in range(20)]
        writer.kill()
    round, digest = lines[-1].split()
    for readonly in (True, False):
        with Journal.open(path, readonly) as journal:
            assert journal.last_round() >= int(round) == 19
            assert journal.digest(19) == digest
            assert len(journal.states()) == journal.last_round() + 1
            journal.verify_chain()
    with Journal.open(path) as journal:
        write(journal, journal.last_round() + 1, [summary(0)])


def test_events_after_a_round_are_those_of_later_ones(journal):
    for round in range(4):
        write(journal, round, [summary(round), ("other", {"round": round})])
    assert [event.round for event in journal.events(kind="summary", after=1)] == [2, 3]
    assert [event.round for event in journal.events(kind="summary", after=-1, until=1)] == [0, 1]
    assert list(journal.events(after=3)) == []
