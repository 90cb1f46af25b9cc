"""Early stopping against its definition, taken literally."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.lifecycle.early_stopping import EarlyStopping

values = st.one_of(st.none(), st.integers(0, 6).map(float))


def literally(rule, course):
    """Whether there are `patience` rounds in a row of which none rises above the best of all before them."""
    counted = course[rule.start_from :]
    for first in range(len(counted) - rule.patience + 1):
        best = -float("inf")
        for value in counted[:first]:
            if value is not None and value > best + rule.min_delta:
                best = value
        waited = counted[first : first + rule.patience]
        if all(value is None or value <= best + rule.min_delta for value in waited):
            return True
    return False


@given(st.lists(values, max_size=12), st.integers(1, 4), st.sampled_from([0.0, 1.0, 2.5]), st.integers(0, 3))
def test_it_stops_where_the_definition_does(course, patience, min_delta, start_from):
    rule = EarlyStopping("qd_score", patience, min_delta, start_from)
    assert rule.stops(course) == literally(rule, course)


@given(st.lists(values, max_size=12), st.integers(1, 4))
def test_once_stopped_it_stays_so(course, patience):
    stops = [EarlyStopping("coverage", patience).stops(course[:length]) for length in range(len(course) + 1)]
    assert stops == sorted(stops)


@pytest.mark.parametrize(
    ("course", "stops"),
    [
        ([1.0, 2.0, 3.0, 4.0], False),
        ([1.0, 2.0, 2.0, 2.0], True),
        ([1.0, 2.0, 2.0, 2.05, 2.1], True),  # rises of no more than min_delta
        ([2.0, 1.0, 3.0, 1.0], False),
        ([None, 1.0, None, 2.0], False),
        ([1.0, None, None], True),
    ],
)
def test_courses_worked_out_by_hand(course, stops):
    assert EarlyStopping("qd_score", patience=2, min_delta=0.1).stops(course) is stops
