"""Performance profiles against the empirical distribution of scipy and against all resamples there are."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.statistics.intervals import stretch
from analysis.statistics.profiles import profile

SCORES = st.lists(st.floats(-5, 5).map(lambda x: round(x, 2)), min_size=1, max_size=12)


def rng():
    return np.random.default_rng(4)


@given(scores=SCORES, thresholds=SCORES)
def test_it_is_the_survival_function_of_the_scores(scores, thresholds):
    found = profile([np.array(scores)], np.array(thresholds), rng())
    expected = stats.ecdf(scores).sf.evaluate(thresholds)
    np.testing.assert_allclose(found.shares, expected, atol=1e-12)


@given(tasks=st.lists(SCORES, min_size=1, max_size=4))
def test_it_never_rises_lies_in_its_band_and_every_task_counts_the_same(tasks):
    thresholds = np.linspace(-6, 6, 25)
    found = profile([np.array(task) for task in tasks], thresholds, rng())
    each = [stats.ecdf(task).sf.evaluate(thresholds) for task in tasks]
    np.testing.assert_allclose(found.shares, np.mean(each, axis=0), atol=1e-12)
    assert (np.diff(found.shares) <= 0).all()
    assert (found.shares[0], found.shares[-1]) == (1.0, 0.0)
    assert (found.low is None) == (min(map(len, tasks)) < 2)
    if found.low is not None and found.high is not None:
        assert (found.low >= 0).all()
        assert (found.high <= 1).all()
        assert (found.low <= found.shares + 1e-12).all()
        assert (found.high >= found.shares - 1e-12).all()


def test_the_band_is_that_of_all_resamples_of_two_tasks():
    """Four runs have 256 resamples: the quantiles of all pairs of them are known, and far from where they jump."""
    tasks, threshold = [np.array([0.1, 0.4, 0.6, 0.9]), np.array([0.2, 0.5, 0.8, 0.3])], 0.45
    means = [
        [np.mean([task[place] > threshold for place in drawn]) for drawn in product(range(4), repeat=4)]
        for task in tasks
    ]
    every = np.add.outer(*map(np.array, means)).ravel() / 2
    expected = 0.5 + stretch(8, 2) * (np.quantile(every, [0.025, 0.975]) - 0.5)
    found = profile(tasks, np.array([threshold]), rng())
    assert found.shares[0] == 0.5
    assert (found.low[0], found.high[0]) == pytest.approx(tuple(np.clip(expected, 0, 1)))


def test_where_all_runs_are_above_the_band_is_that_of_clopper_and_pearson():
    """Of n runs that all are above, the exact interval ends at (alpha / 2) ** (1 / n)."""
    found = profile([np.array([1.0, 2.0, 3.0, 4.0, 5.0])], np.array([0.0, 9.0]), rng())
    assert found.low[0] == pytest.approx(0.025 ** (1 / 5))
    assert found.high[1] == pytest.approx(1 - 0.025 ** (1 / 5))
    assert (found.high[0], found.low[1]) == (1.0, 0.0)


@pytest.mark.parametrize("strata", [[], [np.array([1.0]), np.array([])]])
def test_a_task_without_runs_is_refused(strata):
    with pytest.raises(ValueError, match="a profile needs a run of every task"):
        profile(strata, np.array([0.0]), rng())
