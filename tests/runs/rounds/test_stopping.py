"""What early stopping sees of a run, and says of one that it ended."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.canonical import plain
from runs.rounds.stopping import Stopping
from tests.faults.fake_trainers import ledger_config


def stopping(since=1, **rule):
    settings = {"patience": 2} | rule
    return Stopping(ledger_config(**{f"early_stopping.{key}": settings[key] for key in settings}), since)


def answers(stopping, course):
    return [stopping.ends(round, {"qd_score": value}) for round, value in enumerate(course, 1)]


@pytest.mark.parametrize("nothing", [None, "NaN", "-Infinity", float("nan"), float("inf")])
def test_what_it_goes_by_is_the_same_live_and_restored(nothing):
    """A number that is not finite is a text in the journal; either way the round has brought no rise."""
    assert answers(stopping(), [1.0, nothing, 2.0, nothing, nothing]) == [False] * 4 + [True]


@given(st.lists(st.floats() | st.none(), max_size=8))
def test_a_course_and_its_form_in_a_journal_are_answered_alike(course):
    live, restored = stopping(), stopping()
    assert answers(live, course) == answers(restored, plain(course))
    assert live.event(9, 8) == restored.event(9, 8)


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=9), st.integers(1, 3))
def test_it_ends_once_so_many_rounds_in_a_row_have_not_risen(course, patience):
    ended = answers(stopping(patience=patience), course)
    best, where = -math.inf, []
    for value in course:
        where.append(value > best)
        best = max(best, value)
    flat = [
        place + 1 >= patience and not any(where[place + 1 - patience : place + 1])
        for place in range(len(course))
    ]
    assert ended == [any(flat[: place + 1]) for place in range(len(course))]


def test_rounds_under_other_settings_are_not_seen():
    found = stopping(since=4)
    assert answers(found, [9.0, 9.0, 9.0, 1.0, 2.0, 2.0, 2.0]) == [False] * 6 + [True]
    assert found.event(8, 7)["best"] == 2.0


def test_without_the_rule_nothing_ends():
    assert not any(answers(Stopping(ledger_config()), [1.0] * 20))


def test_the_event_says_what_the_rule_saw():
    found = stopping(metric="best_validation_score")
    for round, score in enumerate([0.5, 0.75, None, "NaN"], 1):
        ended = found.ends(round, {"best_validation_score": score, "qd_score": 100.0})
    assert ended
    assert found.event(6, 4) == {
        "round": 6,
        "seen": 4,
        "metric": "best_validation_score",
        "patience": 2,
        "best": 0.75,
    }
