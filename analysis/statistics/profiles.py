"""Performance profiles: the share of runs whose score is above each of some thresholds, with bootstrap bands.

With m tasks of n_m runs each and scores x, ``F(tau) = mean_m mean_n [x_mn > tau]``: the larger it is at every tau, the
better; where two profiles cross, neither arm is better throughout.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", section 4.2
(run-score distributions). Differs from the source: bands are stretched as all intervals over few seeds are
(`analysis.statistics.intervals.stretch`), and where no resample can differ they are those of Clopper and Pearson.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.statistics.intervals import LEVEL, stretch

RESAMPLES = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The shares of runs above thresholds, and the band around them; no band where a task has but one run."""

    thresholds: np.ndarray  # [T]
    shares: np.ndarray  # [T], in [0, 1]
    low: np.ndarray | None
    high: np.ndarray | None


def profile(strata: Sequence[np.ndarray], thresholds: np.ndarray, rng: np.random.Generator) -> Profile:
    """Return the performance profile of one arm, with pointwise intervals of 95 %.

    Parameters
    ----------
    strata
        Scores of the runs of each task, at least one each; more is better.
    thresholds
        Where the profile is taken, [T].
    rng
        Draws the resamples, which are of the runs of each task by themselves.

    Raises
    ------
    ValueError
        If a task has no run.
    """
    if not strata or min(map(len, strata)) == 0:
        raise ValueError("a profile needs a run of every task at least, and one has none")
    above = [np.asarray(scores)[:, None] > thresholds for scores in strata]  # [runs, T] each
    shares = np.mean([each.mean(axis=0) for each in above], axis=0)
    if min(map(len, strata)) < 2:
        return Profile(thresholds, shares, None, None)
    drawn = np.mean([_resampled(each, rng) for each in above], axis=0)
    ends = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    count = sum(map(len, strata))
    low, high = np.clip(shares + stretch(count, len(strata)) * (ends - shares), 0.0, 1.0)
    for value in (0.0, 1.0):
        exact = stats.binomtest(round(value * count), count).proportion_ci(LEVEL)
        low[shares == value], high[shares == value] = exact.low, exact.high
    return Profile(thresholds, shares, low, high)


def _resampled(above: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the share above each threshold in each resample of the runs of a task, [RESAMPLES, T]."""
    counts = rng.multinomial(len(above), np.full(len(above), 1 / len(above)), size=RESAMPLES)
    return counts @ above / len(above)
