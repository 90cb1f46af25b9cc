"""Against Mann and Whitney's U of scipy, definitions written out, and arms that are the same."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from analysis.statistics import intervals
from analysis.statistics.differences import difference, improvement
from qd.seeding import generator


def test_the_difference_is_that_of_pairs() -> None:
    """A large effect of the seed, which both arms have, does not count."""
    seeds = np.array([0.0, 100.0, -50.0, 30.0, 7.0])
    found = difference(seeds + 1.0, seeds, generator(0, 0, "test"))
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))
    assert found.holds(0.0) is False


@pytest.mark.parametrize("ties", [False, True])
def test_the_probability_of_improvement_is_mann_and_whitneys_u(ties: bool) -> None:
    rng = generator(0, 0, "u")
    first, second = (rng.integers(0, 4, size=(2, 9)) if ties else rng.normal(size=(2, 9))).astype(float)
    by_hand = np.mean([1.0 if x > y else 0.5 if x == y else 0.0 for x, y in product(first, second)])
    found = improvement(first, second, generator(0, 0, "test"))
    assert found.value == pytest.approx(by_hand, rel=1e-14)
    assert found.value == pytest.approx(stats.mannwhitneyu(first, second).statistic / 81, rel=1e-14)
    assert found.low is not None
    assert found.high is not None
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_both_directions_of_improvement_sum_to_one() -> None:
    first, second = generator(0, 0, "sum").normal(size=(2, 6))
    forth, back = (improvement(*pair, generator(0, 0, "p")) for pair in ((first, second), (second, first)))
    assert forth.value + back.value == pytest.approx(1.0)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_an_arm_that_was_always_better_is_not_so_for_certain(count: int) -> None:
    """The chance of as many wins of as many pairs is 2.5 % at the end of the interval."""
    second = np.arange(float(count))
    found = improvement(second + 100.0, second, generator(0, 0, "test"))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low is not None
    assert found.low**count == pytest.approx(0.025)


def test_of_one_seed_nothing_is_known_for_certain() -> None:
    one, other = np.array([1.0]), np.array([0.0])
    for statistic in (difference, improvement):
        assert statistic(one, other, generator(0, 0, "test")).holds(0.0) is None


@pytest.mark.parametrize(("count", "kind"), [(3, "normal"), (5, "skewed")])
def test_an_arm_against_itself_with_other_draws_differs_at_the_nominal_rate_only(
    count: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "RESAMPLES", 1000)
    shown = 0
    for trial in range(250):
        rng = generator(0, trial, f"itself:{count}:{kind}")
        draw = rng.normal if kind == "normal" else rng.exponential
        shared = 10.0 * rng.normal(size=count)  # the seed's, in both arms
        first, second = (shared + draw(size=count) for _ in range(2))
        shown += difference(first, second, rng).holds(0.0) is False
    assert stats.binomtest(shown, 250, 0.05, alternative="greater").pvalue > 0.001
