"""Performance profiles of the arms: the share of seeds whose best network scores above each of some thresholds."""

from typing import Any

import numpy as np

from analysis.statistics.intervals import Estimate
from analysis.statistics.profiles import Profile, profile
from qd.seeding import generator
from runs.experiments.comparison import Results

PROFILED = {  # metrics of which more is better, and what they are called
    "test_score": "test {score} of the best organism",
    "mean_test_score": "test {score}, mean of organisms",
}
QUARTILES = (0.25, 0.5, 0.75)
POINTS = 201  # of a picture


def scores(results: Results, metric: str) -> dict[str, np.ndarray]:
    """Return a metric of each arm's runs, in the order of seeds; an arm without any is left out."""
    found = {
        arm: np.array([values[metric] for _, values in sorted(runs.items()) if metric in values])
        for arm, runs in results.items()
    }
    return {arm: each for arm, each in found.items() if each.size}


def quartiles(results: Results, metric: str) -> np.ndarray:
    """Return the quartiles of what the runs of all arms came to; fewer where they are equal, none without any."""
    every = list(scores(results, metric).values())
    return np.unique(np.quantile(np.concatenate(every), QUARTILES)) if every else np.array([])


def fine(results: Results, metric: str) -> np.ndarray:
    """Return thresholds for a picture, from a little below the least score of any arm to a little above the largest."""
    every = list(scores(results, metric).values())
    if not every:
        return np.array([])
    low, high = np.concatenate(every).min(), np.concatenate(every).max()
    margin = 0.05 * (high - low) or 0.05
    return np.linspace(low - margin, high + margin, POINTS)


def profiles(results: Results, metric: str, thresholds: np.ndarray) -> dict[str, Profile]:
    """Return the profile of each arm that has runs; all runs are of one task.

    Parameters
    ----------
    results
        What each run came to.
    metric
        One of `PROFILED`.
    thresholds
        Where the profiles are taken.
    """
    return {
        arm: profile([each], thresholds, generator(0, 0, f"profile of {metric} of {arm}"))
        for arm, each in scores(results, metric).items()
    }


def drawn(results: Results, score: str) -> dict[str, dict[str, Profile]]:
    """Return the fine profiles of each metric that any run has, by what it is called where the score has this name."""
    found = {
        called.format(score=score): profiles(results, metric, fine(results, metric))
        for metric, called in PROFILED.items()
    }
    return {metric: each for metric, each in found.items() if each}


def cells(found: Profile) -> list[Estimate]:
    """Return the share above each threshold with its interval."""
    shares = found.shares.tolist()
    if found.low is None or found.high is None:
        return [Estimate(share) for share in shares]
    return [Estimate(*each) for each in zip(shares, found.low.tolist(), found.high.tolist(), strict=True)]


def as_plain(results: Results) -> dict[str, Any]:
    """Return the profiles at the quartiles as JSON has them; an interval that is not known is null."""
    return {
        metric: {
            "thresholds": quartiles(results, metric).tolist(),
            "arms": {
                arm: {
                    "shares": found.shares.tolist(),
                    "low": None if found.low is None else found.low.tolist(),
                    "high": None if found.high is None else found.high.tolist(),
                }
                for arm, found in profiles(results, metric, quartiles(results, metric)).items()
            },
        }
        for metric in PROFILED
        if scores(results, metric)
    }
