import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.emitters.shares import WINDOW, Success, shares

NAMES = ("a", "b", "c")
successes = st.lists(
    st.builds(Success, st.sampled_from(NAMES), st.floats(1, 1e6), st.floats(0, 10)), max_size=2 * WINDOW
)


@given(successes, st.integers(0, 12), st.floats(0, 2))
def test_each_is_asked_once_before_anyone_is_asked_twice(past, chunks, exploration):
    found = shares(NAMES, past, chunks, exploration)
    assert len(found) == chunks
    assert set(found) <= set(NAMES)
    assert len(set(found)) == min(chunks, len(NAMES))
    assert found == shares(NAMES, past, chunks, exploration)


def test_without_exploration_the_rest_goes_to_the_largest_gain_per_cost():
    past = [Success("a", 10.0, 5.0), Success("b", 1.0, 1.0), Success("c", 1.0, 0.1)]
    assert shares(NAMES, past, 7, 0.0).count("b") == 1 + 4


def test_with_much_exploration_all_are_asked_alike():
    past = [Success("b", 1.0, 1.0)]
    found = shares(NAMES, past, 12, 1e6)
    assert [found.count(name) for name in NAMES] == [4, 4, 4]


def test_bounds_are_those_of_ucb1():
    """Counted by hand: one chunk beyond those that each gets."""
    past = [Success("a", 1.0, 1.0)] * 20 + [Success("b", 1.0, 0.8)] * 4
    asked = {"a": 21, "b": 5, "c": 1}
    rates = {"a": 1.0, "b": 0.8, "c": 0.0}

    def bound(name, weight):
        return rates[name] + weight * math.sqrt(math.log(27) / asked[name])

    for weight in (0.0, 0.2, 0.5, 1.0, 3.0):
        best = max(NAMES, key=lambda name: bound(name, weight))
        assert shares(NAMES, past, 4, weight)[-1] == best
    assert len({shares(NAMES, past, 4, weight)[-1] for weight in (0.0, 0.5, 3.0)}) == 3


def test_what_is_long_past_does_not_count():
    past = [Success("a", 1.0, 100.0), *[Success("b", 1.0, 1.0)] * WINDOW]
    assert shares(("a", "b"), past, 4, 0.0)[2:] == ("b", "b")


@pytest.mark.parametrize("past", [[], [Success("a", 0.0, 0.0)], [Success("gone", 1.0, 1.0)]])
def test_nothing_known_means_the_order_that_was_given(past):
    assert shares(NAMES, past, 1, 0.0)[0] in NAMES
    assert set(shares(NAMES, past, 3, 0.0)) == set(NAMES)
