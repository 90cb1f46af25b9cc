import sqlite3

import pytest

from archive_store.journal.journal import Journal
from archive_store.run_directory import RunDirectory
from runs.errors import RunError
from runs.results.slo.evidence import RoundEvidence, Sent, evidence_of, hours, walls_of
from runs.results.slo.remaining import budgets, budgets_of
from runs.results.slo.settings import SloConfig, SlosConfig, WindowConfig
from runs.results.slo.shown import line, plain, sentence, table
from tests.fixtures.small_runs import launched
from tests.fixtures.timed_journals import Timed, journal_of

MIB = 2**20
ROUNDS = [
    Timed(10.0, idle=(1.0, 4.0), orders=[(3.0, 2.0), (9.0, 1.0)], memory=64 * MIB),
    # The second order of round 2 was sent before round 1 was committed, 4 seconds ago.
    Timed(4.0, store=2.0, idle=(4.0, 4.0), orders=[(1.0, 0.5), (5.0, 0.0)], memory=128 * MIB, lost=2),
    # That of round 3 goes back over rounds 3 and 2.
    Timed(1.0, orders=[(5.5, 0.25)], chunks=[(0.5, 0.25)]),
]


@pytest.fixture
def journal(tmp_path):
    with journal_of(tmp_path / "journal.sqlite", ROUNDS) as journal:
        yield journal


def by_name(journal, **slos):
    nothing = dict.fromkeys(SlosConfig.model_fields)
    return {each.name: each for each in budgets(journal, SlosConfig(**{**nothing, **slos}))}


def slo(threshold, objective=0.5, **window):
    return SloConfig(threshold=threshold, objective=objective, window=WindowConfig(**window))


def test_what_a_journal_says_of_its_rounds_by_hand(journal):
    assert evidence_of(journal, walls_of(journal), 1) == [
        RoundEvidence(1, 10.0, 0.75, 0.25, (Sent(3.0, 1), Sent(9.0, 1)), 0, 64.0),
        RoundEvidence(2, 4.0, 2.5, 1.0, (Sent(1.0, 1), Sent(5.0, 2)), 2, 128.0),
        RoundEvidence(3, 1.0, 0.75, 0.0, (Sent(5.5, 3), Sent(0.5, 1)), 0, None),
    ]


def test_budgets_by_hand(journal):
    found = by_name(
        journal,
        commit=slo(1.0),  # one of three is over: of one and a half that may be
        order=slo(5.0, 0.75),  # two of six, of one and a half
        idle=slo(0.5),
        lag=slo(1, 0.5),
        lost=slo(1.0),  # one hour with two
        memory=slo(100.0),
    )
    assert {name: each.bad for name, each in found.items()} == {
        "commit": 1, "order": 2, "idle": 1, "lag": 2, "lost": 1, "memory": 1,
    }  # fmt: skip
    left = {name: each.left for name, each in found.items()}
    wanted = {"commit": 1 / 3, "order": -1 / 3, "idle": 1 / 3, "lag": 1 / 3, "lost": -1.0, "memory": 0.0}
    assert left == pytest.approx(wanted)
    assert [name for name, each in found.items() if each.spent] == ["order", "lost", "memory"]


@pytest.mark.parametrize(
    ("window", "events"),
    [({"rounds": 1}, 1), ({"rounds": 2}, 2), ({"seconds": 1}, 1), ({"seconds": 4.9}, 1), ({"seconds": 5}, 2), ({}, 3),
     ({"seconds": 0.5}, 1), ({"rounds": 100}, 3)],
)  # fmt: skip
def test_a_window_is_the_newest_part(window, events, journal):
    assert by_name(journal, commit=slo(1.0, **window))["commit"].events == events


def test_a_part_says_the_same_of_its_rounds_as_the_whole(journal):
    walls = walls_of(journal)
    whole = evidence_of(journal, walls, 1)
    assert [evidence_of(journal, walls, first) for first in (2, 3)] == [whole[1:], whole[2:]]


def test_hours_are_of_work():
    def of(round, wall, lost):
        return RoundEvidence(round, wall, None, None, (), lost, None)

    assert hours([of(1, 1800.0, 1), of(2, 1800.0, 1), of(3, 9000.0, 3), of(4, 1.0, 0)]) == [2, 0, 0, 3]
    assert hours([]) == []


def test_a_finished_run_and_its_older_kind(tmp_path):
    """What an older version wrote has none of the new times: nothing is known, and nothing spent."""
    run = launched(tmp_path / "run")
    with RunDirectory.open(run).journal() as journal:
        found = budgets(journal, SlosConfig())
    assert {each.name: each.events for each in found} == {
        "commit": 4, "order": 16, "idle": 4, "lag": 16, "lost": 1, "memory": 4,
    }  # fmt: skip
    with sqlite3.connect(run / "journal.sqlite") as database:
        database.execute("DELETE FROM timing WHERE name <> 'wall' AND name <> 'train'")
        database.execute("DELETE FROM incident")
    database.close()
    with Journal.open(run / "journal.sqlite", readonly=True) as journal:
        assert budgets_of(journal) == {"lost": 1.0}


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE timing SET seconds = -1 WHERE name = 'wall' AND round = 2",
            "round 2 came after a time that no run",
        ),
        ("UPDATE timing SET seconds = 9e8 WHERE name = 'wall'", "round 3 came after a time that no run"),
        (
            "DELETE FROM timing WHERE name = 'held' AND round = 2",
            "round 2 of the journal has 2 orders and 0 times",
        ),
        (
            "UPDATE incident SET body = '{}' WHERE kind = 'memory'",
            "row of the memory in round 1 cannot be read",
        ),
    ],
)
def test_a_journal_that_was_altered_is_told(statement, told, tmp_path):
    with journal_of(tmp_path / "journal.sqlite", ROUNDS):
        pass
    with sqlite3.connect(tmp_path / "journal.sqlite") as database:
        database.execute(statement)
    database.close()
    with (
        Journal.open(tmp_path / "journal.sqlite", readonly=True) as journal,
        pytest.raises(RunError, match=told),
    ):
        budgets(journal, SlosConfig())


def test_how_budgets_are_told(journal):
    found = budgets(journal, SlosConfig(order=slo(5.0, 0.75), memory=None))
    assert line({each.name: each.left for each in found if each.left is not None}) == (
        "1 of 5 within their budgets; spent: commit, order, idle, lost"
    )
    assert line({"a": 1.0, "b": 1.0}) == "all 2 within their error budgets"
    assert line({"a": 1.0, "b": 0.4}) == "all 2 within their error budgets; least is left of b: 40%"
    assert line({}) == "not measured"
    assert sentence(found).startswith(
        "the error budget is spent of commit (1 of 3 events over 1 s, 99% were to be good), order (2 of 6 events "
    )
    rows = table(found).splitlines()
    assert rows[2].split("  ")[0] == "order"
    assert rows[2].endswith("-33.3%")
    assert [each["spent"] for each in plain(found)] == [each.spent for each in found]
