"""Estimates over seeds: the mean, the interquartile mean, and bootstrap intervals that are honest for few seeds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Statistic = Callable[..., np.ndarray]  # of samples along an axis: ``statistic(*samples, axis=axis)``
LEVEL = 0.95
RESAMPLES = 20_000
_TRIMMED = 0.25  # at either end
_BATCH = 1000  # resamples at a time, so that memory stays small


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the interval around it; no interval where there are fewer than two seeds."""

    value: float
    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool | None:
        """Whether the interval holds a value; None where there is none."""
        return None if self.low is None or self.high is None else self.low <= value <= self.high

    def within(self, low: float, high: float) -> "Estimate":
        """Return the same with an interval that does not reach beyond what is possible."""
        if self.low is None or self.high is None:
            return self
        return Estimate(self.value, max(self.low, low), min(self.high, high))


def mean(*strata: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean of all values of all strata along an axis."""
    return np.mean(np.concatenate(strata, axis=axis), axis=axis)


def interquartile_mean(*strata: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean of the middle half of all values of all strata along an axis.

    A quarter of the values, rounded down, is left out at either end: of fewer than four none is.

    Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"; the same as
    rliable's ``aggregate_iqm``.
    """
    return stats.trim_mean(np.concatenate(strata, axis=axis), _TRIMMED, axis=axis)


def stretch(count: int, strata: int = 1, level: float = LEVEL) -> float:
    """Return the factor by which percentile intervals are too narrow where values are few.

    ``sqrt(n / (n - k)) t / z`` for n values in k strata, t the quantile of Student's t with n - k degrees of freedom
    and z the normal distribution's: resampling divides by n where n - 1 would be right, and its tails are normal ones.
    Of three values, one of 95 % else misses the mean in a quarter of all cases, whatever its level is raised to.

    Parameters
    ----------
    count, strata
        How many values in how many strata; at least one more than strata.
    level
        Of the interval.

    Source: Hesterberg 2015, "What Teachers Should Know About the Bootstrap", on narrowness bias. Differs from the
    source: the distribution is stretched about the estimate, where Hesterberg widens the level, because that of few
    values has no tails to be found at any level.
    """
    free, tail = count - strata, 0.5 + level / 2
    return math.sqrt(count / free) * float(stats.t.ppf(tail, free) / stats.norm.ppf(tail))


def estimate(strata: Sequence[np.ndarray], statistic: Statistic, rng: np.random.Generator) -> Estimate:
    """Return a statistic of values over seeds with its stratified bootstrap interval of 95 %.

    Each stratum (the seeds of one task, say) is resampled by itself, and the statistic is taken of all together.

    Parameters
    ----------
    strata
        Values, one an independent repetition.
    statistic
        `mean` or `interquartile_mean`, say.
    rng
        Draws the resamples.
    """
    value = float(statistic(*strata))
    count = sum(map(len, strata))
    if min(map(len, strata)) < 2:
        return Estimate(value)
    low, high = _interval(strata, statistic, rng, stretch(count, len(strata)))
    return Estimate(value, float(low), float(high))


def band(values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper end of the interval of the mean at every point of curves [seeds, points]."""
    low, high = _interval([values], mean, rng, stretch(len(values)), axis=0, resamples=2000)
    return low, high


def paired(first: np.ndarray, second: np.ndarray, statistic: Statistic, rng: np.random.Generator) -> Estimate:
    """Return a statistic of two samples with its bootstrap interval of 95 %, where pairs are resampled.

    Parameters
    ----------
    first, second
        Values, one pair a seed.
    statistic
        Of the two samples.
    rng
        Draws the resamples.
    """
    value = float(statistic(first, second))
    if len(first) < 2:
        return Estimate(value)
    low, high = _interval([first, second], statistic, rng, stretch(len(first)), paired=True)
    return Estimate(value, float(low), float(high))


def _interval(
    samples: Sequence[np.ndarray],
    statistic: Statistic,
    rng: np.random.Generator,
    factor: float,
    axis: int = -1,
    paired: bool = False,
    resamples: int = RESAMPLES,
) -> tuple[np.ndarray, np.ndarray]:
    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        batch=_BATCH,
        vectorized=True,
        paired=paired,
        axis=axis,
        confidence_level=LEVEL,
        method="percentile",
        rng=rng,
    )
    value = statistic(*samples, axis=axis)
    low, high = found.confidence_interval
    return value - factor * (value - low), value + factor * (high - value)
