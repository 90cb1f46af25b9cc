"""How two arms of equal seeds differ: the mean of paired differences, and the probability of improvement."""

import numpy as np
from scipy import stats

from analysis.statistics.intervals import LEVEL, Estimate, paired


def difference(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> Estimate:
    """Return the mean of ``first - second`` over seeds, with its interval.

    Parameters
    ----------
    first, second
        Values of the two arms, one pair a seed.
    rng
        Draws the resamples.
    """
    return paired(first, second, _mean_difference, rng)


def improvement(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> Estimate:
    """Return the probability that a run of the first arm has more than one of the second, with its interval.

    ``P(X > Y) = mean over all i, j of [x_i > y_j] + [x_i = y_j] / 2``, which is Mann and Whitney's U over the number of
    pairs i, j. Seeds are resampled, with what both arms have of each. Where no resample goes further to one side, as
    when every run of one arm is above every run of the other, the interval reaches as far as Clopper and Pearson's of
    as many of n independent pairs.

    Parameters
    ----------
    first, second
        Values of the two arms, one pair a seed.
    rng
        Draws the resamples.

    Source: Agarwal et al. 2021; the same as rliable's ``probability_of_improvement`` for one task. Differs from the
    source: arms share their seeds, which are therefore resampled together.
    """
    found = paired(first, second, _probability, rng).within(0.0, 1.0)
    if found.low is None or found.high is None or found.low < found.value < found.high:
        return found
    exact = stats.binomtest(round(found.value * len(first)), len(first)).proportion_ci(LEVEL)
    return Estimate(found.value, min(found.low, float(exact.low)), max(found.high, float(exact.high)))


def _mean_difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.mean(first - second, axis=axis)


def _probability(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    ones, others = np.moveaxis(first, axis, -1)[..., :, None], np.moveaxis(second, axis, -1)[..., None, :]
    return np.mean((ones > others) + 0.5 * (ones == others), axis=(-2, -1))
