"""What arms came to over their seeds, and how each differs from one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.statistics.differences import difference, improvement
from analysis.statistics.intervals import Estimate, estimate, interquartile_mean, mean
from qd.seeding import generator
from runs.experiments.results import METRICS, Metric

Results = Mapping[str, Mapping[int, Mapping[str, float]]]  # arm, seed, metric


@dataclass(frozen=True, slots=True)
class Difference:
    """How an arm differs from another, over the seeds that both have."""

    seeds: int
    mean: Estimate  # of the paired differences
    improvement: Estimate | None  # probability that a run of the arm is better; None where neither way is
    shown: bool | None  # whether the interval of the mean leaves out 0; None where there is none


@dataclass(frozen=True, slots=True)
class Row:
    """An arm by one metric."""

    metric: str
    arm: str
    seeds: int
    mean: Estimate | None  # None: no run of the arm measured it
    interquartile_mean: Estimate | None
    difference: (
        Difference | None
    )  # None for the arm that the others are compared with, and without common seeds


def compared(results: Results, against: str, metrics: Sequence[Metric] = METRICS) -> list[Row]:
    """Return a row for each metric and arm.

    Intervals are bootstrap intervals of 95 %, each by itself, whose resamples are named draws: equal results give equal
    intervals. Runs of one task are one stratum.

    Parameters
    ----------
    results
        What each run came to.
    against
        The arm that the others are compared with.
    metrics
        What is compared.
    """
    return [_row(results, arm, against, metric) for metric in metrics for arm in results]


def _row(results: Results, arm: str, against: str, metric: Metric) -> Row:
    values = _values(results, arm, metric)
    if not values:
        return Row(metric.name, arm, 0, None, None, None)
    stratum = [np.array(list(values.values()))]
    whole, middle = (
        estimate(stratum, statistic, generator(0, 0, f"{name} of {metric.name} of {arm}")).within(
            metric.low, metric.high
        )
        for name, statistic in (("mean", mean), ("interquartile mean", interquartile_mean))
    )
    other = None if arm == against else _difference(results, arm, against, metric)
    return Row(metric.name, arm, len(values), whole, middle, other)


def _difference(results: Results, arm: str, against: str, metric: Metric) -> Difference | None:
    ours, theirs = (_values(results, name, metric) for name in (arm, against))
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return None
    first, second = (np.array([values[seed] for seed in seeds]) for values in (ours, theirs))
    named = f"of {metric.name} of {arm} against {against}"
    found = difference(first, second, generator(0, 0, f"difference {named}"))
    better = None
    if metric.better:
        rng = generator(0, 0, f"improvement {named}")
        better = improvement(metric.better * first, metric.better * second, rng)
    holds = found.holds(0.0)
    return Difference(len(seeds), found, better, None if holds is None else not holds)


def _values(results: Results, arm: str, metric: Metric) -> dict[int, float]:
    return {
        seed: values[metric.name] for seed, values in sorted(results[arm].items()) if metric.name in values
    }
