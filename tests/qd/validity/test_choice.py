from itertools import combinations

import numpy as np
import pytest
from factor_analyzer import calculate_kmo
from hypothesis import given
from hypothesis import strategies as st

from qd.validity.choice import MeasureSet, ranked, usable

NAMES = tuple("abcdefg")


def sample(seed=0, n=300, m=7):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, m)) + 1.5 * rng.normal(size=(n, m))


@pytest.mark.parametrize("size", [3, 5, 7])
def test_every_set_is_ranked_with_the_statistics_of_its_own_columns(size):
    rows, reliability = sample(), np.linspace(0.5, 1.0, 7)
    found = ranked(rows, reliability, NAMES, size)
    assert sorted(one.names for one in found) == list(combinations(NAMES, size))
    for one in found:
        places = [NAMES.index(name) for name in one.names]
        r = np.corrcoef(rows[:, places].T)
        assert one.kmo == pytest.approx(calculate_kmo(rows[:, places])[1], rel=1e-6)
        assert one.reliability == reliability[places].min()
        eigenvalues = np.linalg.eigvalsh(r)
        assert one.effective_dimension == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())
        assert one.largest_correlation == pytest.approx(np.abs(r[np.triu_indices(size, 1)]).max())


@given(st.integers(0, 50))
def test_no_set_is_sounder_than_one_before_it(seed):
    found = ranked(sample(seed), np.random.default_rng(seed).uniform(0.5, 1, 7), NAMES)
    margins = [one.margin for one in found]
    assert margins == sorted(margins, reverse=True)


@pytest.mark.parametrize(
    ("changes", "margin"),
    [
        ({}, 0.05),
        ({"kmo": 0.55}, -0.05),
        ({"reliability": 0.71}, 0.01),
        ({"effective_dimension": 2.9}, -0.02),
        ({"largest_correlation": 0.95}, -0.05),
    ],
)
def test_the_margin_is_that_of_the_worst_statistic(changes, margin):
    values = {"kmo": 0.65, "reliability": 0.9, "effective_dimension": 4.0, "largest_correlation": 0.5}
    assert MeasureSet(NAMES[:5], **(values | changes)).margin == pytest.approx(margin)


def test_copies_are_in_no_set_together():
    rows = sample()
    rows[:, 3] = 2 * rows[:, 1] + 1
    found = ranked(rows, np.ones(7), NAMES)
    assert found
    assert not any({"b", "d"} <= set(one.names) for one in found)


def test_what_does_not_vary_or_is_not_finite_is_not_used():
    rows = sample()
    rows[:, 1], rows[4, 2], rows[:, 3] = 0.3, np.nan, 0.0
    assert usable(rows, NAMES) == ("a", "e", "f", "g")


@pytest.mark.parametrize("size", [2, 8])
def test_a_set_has_three_measures_at_least_and_all_at_most(size):
    with pytest.raises(ValueError, match=f"a set has 3 to 7 measures, which is all there are, not {size}"):
        ranked(sample(), np.ones(7), NAMES, size)


def test_tables_that_do_not_fit_their_names_are_refused():
    with pytest.raises(ValueError, match=r"rows must be \[n, 6\] and reliability \[6\]"):
        ranked(sample(), np.ones(6), NAMES[:6])
