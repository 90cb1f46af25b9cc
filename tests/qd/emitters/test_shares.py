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
def test_whoever_was_not_asked_lately_goes_first(past, chunks, exploration):
    found = shares(NAMES, past, chunks, exploration)
    assert len(found) == chunks
    assert set(found) <= set(NAMES)
    lately = {each.emitter for each in past[-WINDOW:]}
    unknown = [name for name in NAMES if name not in lately]
    assert list(found[: len(unknown)]) == unknown[:chunks]
    assert found == shares(NAMES, past, chunks, exploration)


@given(successes, st.integers(1, 12))
def test_costs_in_other_units_and_gains_in_others_change_nothing(past, chunks):
    scaled = [Success(each.emitter, each.cost * 8, each.gain / 4) for each in past]
    assert shares(NAMES, scaled, chunks, 0.5) == shares(NAMES, past, chunks, 0.5)


def test_without_exploration_all_goes_to_the_largest_gain_per_cost():
    past = [Success("a", 10.0, 5.0), Success("b", 1.0, 1.0), Success("c", 1.0, 0.1)]
    assert shares(NAMES, past, 7, 0.0) == ("b",) * 7


def test_with_much_exploration_chunks_are_the_rarer_the_dearer_they_are():
    """For large weights n_i^1/2 c_i is alike for all: an emitter of twice the cost has a quarter of the chunks."""
    past = [Success("a", 1.0, 1.0), Success("b", 2.0, 1.0)]
    found = shares(("a", "b"), past, 498, 1e6)
    assert (found.count("a") + 1) / (found.count("b") + 1) == pytest.approx(4.0, abs=0.1)


def test_bounds_are_those_of_fractional_kube():
    """Counted by hand: one chunk more."""
    past = [Success("a", 2.0, 2.0)] * 20 + [Success("b", 1.0, 0.8)] * 4 + [Success("c", 1.0, 0.0)]
    asked, prices = {"a": 20, "b": 4, "c": 1}, {"a": 2.0, "b": 1.0, "c": 1.0}
    rates = {"a": 1.0, "b": 0.4, "c": 0.0}

    def bound(name, weight):
        return (rates[name] + weight * math.sqrt(math.log(25) / asked[name])) / prices[name]

    weights = (0.0, 0.1, 0.2, 0.5, 1.0, 3.0)
    for weight in weights:
        best = max(NAMES, key=lambda name: bound(name, weight))
        assert shares(NAMES, past, 1, weight) == (best,)
    assert {shares(NAMES, past, 1, weight)[-1] for weight in weights} == set(NAMES)


def test_what_is_long_past_does_not_count():
    past = [Success("a", 1.0, 100.0), *[Success("b", 1.0, 1.0)] * WINDOW]
    assert shares(("a", "b"), past, 4, 0.0) == ("a", "b", "b", "b")


@pytest.mark.parametrize("past", [[], [Success("a", 0.0, 0.0)], [Success("gone", 1.0, 1.0)]])
def test_nothing_known_means_the_order_that_was_given(past):
    assert shares(NAMES, past, 1, 0.0)[0] in NAMES
    assert set(shares(NAMES, past, 3, 0.0)) == set(NAMES)
