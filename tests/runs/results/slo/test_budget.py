import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.results.slo.budget import budget, quantile

values = st.lists(st.floats(0, 10), min_size=1)
objectives = st.floats(0.01, 0.99)


def of(seconds, threshold=1.0, objective=0.9):
    return budget("order", "s", seconds, threshold, objective, "all")


def test_by_hand():
    """Twenty events at 90 % may have two bad ones; one is half of that, and it is among the newest two."""
    found = of([0.5] * 18 + [2.0, 1.0])
    assert (found.events, found.bad) == (20, 1)
    assert found.left == pytest.approx(0.5)
    assert found.burn == pytest.approx(0.5)
    assert found.recent_burn == pytest.approx(5.0)
    assert found.measured == 0.5
    assert not found.spent


@pytest.mark.parametrize(
    ("bad", "left", "spent"), [(0, 1.0, False), (1, 0.5, False), (2, 0.0, True), (4, -1.0, True)]
)
def test_a_budget_is_spent_when_nothing_is_left(bad, left, spent):
    found = of([2.0] * bad + [0.5] * (20 - bad))
    assert found.left == pytest.approx(left)
    assert found.spent is spent


def test_without_events_nothing_is_known_and_nothing_spent():
    found = of([])
    assert (found.events, found.left, found.burn, found.recent_burn, found.measured) == (
        0,
        None,
        None,
        None,
        None,
    )
    assert not found.spent


def test_what_is_not_a_number_is_bad():
    assert of([math.nan, 0.5]).bad == 1
    assert of([math.inf] * 3).measured is None


@given(values, st.floats(0, 10), objectives)
def test_a_budget_is_spent_only_where_fewer_than_promised_were_good(seconds, threshold, objective):
    found = of(seconds, threshold, objective)
    good = sum(each <= threshold for each in seconds) / len(seconds)
    if good > objective + 1e-9:
        assert not found.spent
    if good < objective - 1e-9:
        assert found.spent


@given(values, objectives)
def test_the_measured_value_is_the_least_that_keeps_the_objective(seconds, objective):
    found = quantile(seconds, objective)
    assert found in seconds
    assert sum(each <= found for each in seconds) >= objective * len(seconds) - 1e-6
    assert sum(each < found for each in seconds) < objective * len(seconds) + 1e-6


def test_quantiles_by_hand():
    assert [quantile(range(1, 101), share) for share in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert quantile([3.0], 0.99) == 3.0
    assert quantile([], 0.5) is None
