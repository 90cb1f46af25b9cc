"""What a run came to and how it went on, by metric; a metric that a run does not have is left out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archive_store.reading import Run, open_run
from runs.experiments.further.diversity import diversity
from runs.experiments.further.sizes import sizes
from runs.results.summary import summarise

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that a run comes to."""

    name: str
    label: str
    better: int = 0  # 1: more is, -1: less is, 0: neither
    digits: str = ".4f"
    low: float = -math.inf  # what no value is below
    high: float = math.inf  # or above
    named: bool = True  # whether it is said where no run has measured it


RELATIVE_TIME = (
    "relative_time"  # of the best network's answers, where it was measured (`runs.experiments.further.speed`)
)
KINDS = ("training", "emitters", "assays")  # of counted FLOPs
_AT_THE_END = (
    Metric("validation_score", "validation {score}, best organism", 1, high=1.0),
    Metric("test_score", "its test {score}", 1, high=1.0),
    Metric("mean_test_score", "test {score}, mean of organisms", 1, high=1.0),
    Metric("validation_loss", "validation loss, mean of organisms", -1, low=0.0),
    Metric("best_objective", "best objective", 1, low=0.0, high=1.0),
    Metric("held_out_best_objective", "best held-out objective", 1, low=0.0, high=1.0),
    Metric("coverage", "coverage [share of cells]", 1, low=0.0, high=1.0),
    Metric("held_out_coverage", "held-out coverage", 1, low=0.0, high=1.0),
    Metric("qd_score", "QD score", 1, ".3f", low=0.0),
    Metric("held_out_qd_score", "held-out QD score", 1, ".3f", low=0.0),
    Metric("network_parameters", "parameters of the best network's parts", 0, ".5g", low=0.0),
    Metric("network_flops", "counted FLOPs of the best network's parts, an example", 0, ".4g", low=0.0),
    Metric(RELATIVE_TIME, "measured time of the best network, as a ratio", -1, ".3f", low=0.0),
    Metric("births", "births", 0, ".1f", low=0.0),
    Metric("trial_gain", "gain of a birth's best candidate in its trial [nats]", 1, ".5f"),
    Metric("deaths", "deaths", 0, ".1f", low=0.0),
    *(Metric(f"flops_{kind}", f"counted FLOPs of {kind}", 0, ".4g", low=0.0) for kind in KINDS),
    Metric("behaviour_variance", "variance of behaviours in a network, mean of measures", 0, low=0.0),
    Metric("correlation", "correlation of what two parts of a layer write", 0, low=-1.0, high=1.0),
    Metric("coherence", "likeness of where two parts of a layer write", 0, low=0.0, high=1.0),
    *(
        Metric(name, label, 1, high=1.0, named=False)
        for name, label in (
            ("degradation_random", "mean test {score} while parts go, at random"),
            ("degradation_worst_first", "the same, the least useful first"),
            ("degradation_best_first", "the same, the most useful first"),
            ("removable", "share of parts that can go for a tenth of what all bring"),
        )
    ),
)
FLOPS = "flops"  # counted so far, of all kinds
_AT_EQUAL_FLOPS = {  # metrics, and the columns of `course_of` that have them after every round
    "validation_score": "best_validation_score",
    "validation_loss": "validation_loss",
    "best_objective": "best_objective",
    "qd_score": "qd_score",
}
METRICS = (
    *_AT_THE_END,
    *(
        replace(metric, name=f"equal_{metric.name}", label=f"{metric.label}, at equal counted FLOPs")
        for metric in _AT_THE_END
        if metric.name in _AT_EQUAL_FLOPS
    ),
)
_OF_ARCHIVE = ("best_objective", "coverage", "qd_score")
_HELD_OUT = tuple(f"held_out_{name}" for name in _OF_ARCHIVE)


def results_of(paths: Mapping[str, Mapping[int, Path]]) -> dict[str, dict[int, dict[str, float]]]:
    """Return what the runs of some arms came to, by arm, seed and metric.

    Where the runs of a seed count FLOPs, metrics named ``equal_...`` are of the last round of each that had not counted
    more than the run that counted least has at its end.

    Parameters
    ----------
    paths
        Folders of the runs, by arm and seed.

    Raises
    ------
    StoreError, RunError
        As `came_to`.
    """
    runs = {arm: {seed: open_run(path) for seed, path in own.items()} for arm, own in paths.items()}
    courses = {arm: {seed: course_of(run) for seed, run in own.items()} for arm, own in runs.items()}
    return {
        arm: {
            seed: came_to(run, courses[arm][seed])
            | at_equal_flops(courses[arm][seed], [own[seed] for own in courses.values() if seed in own])
            for seed, run in own.items()
        }
        for arm, own in runs.items()
    }


def at_equal_flops(course: "pd.DataFrame", courses: Sequence["pd.DataFrame"]) -> dict[str, float]:
    """Return what a run came to by the last round that had not counted more FLOPs than any of some runs has in all.

    Parameters
    ----------
    course
        How the run went on.
    courses
        Of all runs that are compared. If there is but one, or FLOPs are not counted, nothing is returned.
    """
    if len(courses) < 2 or not all(FLOPS in each for each in courses):
        return {}
    least = min(each[FLOPS].iloc[-1] for each in courses)
    reached = course[course[FLOPS] <= least]
    if reached.empty:
        return {}
    values = {f"equal_{name}": reached[column].iloc[-1] for name, column in _AT_EQUAL_FLOPS.items()}
    return {name: float(value) for name, value in values.items() if _is_number(value)}


def came_to(run: Run, course: "pd.DataFrame") -> dict[str, float]:
    """Return what a run came to, by name of a metric.

    Parameters
    ----------
    run
        With a finished round.
    course
        How it went on (`course_of`).

    Raises
    ------
    StoreError, RunError
        If it is damaged, or has no finished round.
    """
    summary, census = summarise(run.directory.path), run.census()
    last = course.iloc[-1]
    found = {
        "validation_score": last["best_validation_score"],
        "test_score": summary.best_accuracy,
        "mean_test_score": census.loc[census["round"] == census["round"].max(), "test_score"].mean(),
        "validation_loss": last["validation_loss"],
        **{name: last[name] for name in _OF_ARCHIVE},
        **{name: last.get(name) for name in _HELD_OUT},
        **sizes(run),
        "births": summary.births,
        "trial_gain": _trial_gain(run),
        "deaths": summary.deaths,
        **{f"flops_{kind}": course[f"flops_{kind}"].sum() for kind in KINDS if f"flops_{kind}" in course},
        **_diversity(run),
    }
    return {name: float(value) for name, value in found.items() if _is_number(value)}


def course_of(run: Run) -> "pd.DataFrame":
    """Return a row a round: that of `Run.rounds`, with the mean validation loss and the FLOPs counted so far."""
    rounds, census = run.rounds(), run.census()
    losses = census.groupby("round")["validation_loss"].mean()
    rounds["validation_loss"] = rounds["round"].map(losses)
    counted = [f"flops_{kind}" for kind in KINDS if f"flops_{kind}" in rounds]
    if f"flops_{KINDS[0]}" in counted:  # else what is counted is the smaller part
        rounds[FLOPS] = rounds[counted].sum(axis=1).cumsum()
    return rounds


def _diversity(run: Run) -> dict[str, float | None]:
    records = run.records()
    last = records[records["round"] == records["round"].max()]
    return diversity(last, run.measures, run.ranges())


def _trial_gain(run: Run) -> float | None:
    """Return the mean over births that were tried of the largest gain of their candidates, whether born or not."""
    trials = run.trials()
    return None if trials.empty else float(trials.groupby(["organism", "round", "slot"])["gain"].max().mean())


def labels(score: str) -> Mapping[str, str]:
    """Return what each metric is called where the task's score has this name."""
    return {metric.name: metric.label.format(score=score) for metric in METRICS}


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(float(value))
