"""Against definitions written out, scipy's own intervals, and simulations whose answer is known."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics import intervals
from analysis.statistics.intervals import band, estimate, interquartile_mean, mean, stretch
from qd.seeding import generator


def draws(name: str = "values", *shape: int) -> np.ndarray:
    return generator(0, 0, name).normal(size=shape)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 9.0], 5.0),
        ([0.0, 1.0, 8.0], 3.0),  # a quarter of three is none
        ([100.0, 1.0, 3.0, -50.0], 2.0),
        ([5.0, 1.0, 2.0, 3.0, 1000.0], 10 / 3),
        ([8.0, 7.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 4.5),
    ],
)
def test_the_interquartile_mean_leaves_a_quarter_out_at_either_end(
    values: list[float], expected: float
) -> None:
    assert interquartile_mean(np.array(values)) == pytest.approx(expected, rel=1e-15)


def test_strata_are_pooled_as_rliable_does() -> None:
    """rliable takes scipy's trimmed mean of the whole matrix [runs, tasks]."""
    scores = draws("scores", 6, 3)
    strata = list(scores.T)
    assert interquartile_mean(*strata) == pytest.approx(
        stats.trim_mean(scores, proportiontocut=0.25, axis=None), rel=1e-14
    )
    assert mean(*strata) == pytest.approx(scores.mean(), rel=1e-14)


def test_the_interval_of_many_values_is_that_of_scipys_percentile_bootstrap() -> None:
    values = draws("many", 400)
    found = estimate([values], mean, generator(0, 0, "test"))
    other = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=20_000, rng=1).confidence_interval
    assert found.value == values.mean()
    assert (found.low, found.high) == pytest.approx(tuple(other), abs=0.003)


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_the_stretch_makes_a_normal_interval_that_of_student(count: int) -> None:
    values = draws("few", count)
    error = values.std() / np.sqrt(count)  # of the resampled means, which divide by n
    half = stretch(count) * stats.norm.ppf(0.975) * error
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (values.mean() - half, values.mean() + half) == pytest.approx((low, high), rel=1e-12)


def test_strata_are_resampled_each_by_itself() -> None:
    """Tasks of very different levels: pooled resampling would find an interval as wide as their distance."""
    strata = [draws("low", 8), 1000.0 + draws("high", 8)]
    found = estimate(strata, mean, generator(0, 0, "test"))
    assert found.low is not None
    assert found.high is not None
    assert 0.2 < found.high - found.low < 2.0


def test_of_one_seed_there_is_no_interval() -> None:
    found = estimate([np.array([0.5])], mean, generator(0, 0, "test"))
    assert (found.value, found.low, found.high, found.holds(0.5)) == (0.5, None, None, None)


def test_the_same_numbers_have_the_same_interval_each_time() -> None:
    values = draws("again", 5)
    first, again = (estimate([values], interquartile_mean, generator(0, 0, "name")) for _ in range(2))
    assert first == again


def test_a_band_is_the_interval_at_each_point() -> None:
    curves = draws("curves", 6, 4)
    low, high = band(curves, generator(0, 0, "band"))
    for point in range(4):
        own = estimate([curves[:, point]], mean, generator(0, 0, f"own {point}"))
        assert (low[point], high[point]) == pytest.approx((own.low, own.high), abs=0.25)


@pytest.mark.parametrize("count", [3, 10])
def test_intervals_hold_the_true_mean_as_often_as_they_say(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "RESAMPLES", 1000)
    missed = 0
    for trial in range(250):
        rng = generator(0, trial, f"coverage:{count}")
        missed += not estimate([rng.normal(size=count)], mean, rng).holds(0.0)
    assert stats.binomtest(missed, 250, 0.05).pvalue > 0.001
