"""The page of an experiment: its arms and seeds, what they came to and how they differ, and how they went on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.experiments import degradation
from analysis.experiments.curves import FLOPS, METRICS, ROUND, gathered
from analysis.report.blocks import Block, Cell, Chart, Section, Table, Text
from analysis.report.course import chart
from analysis.report.document import document
from analysis.report.settings import configuration
from analysis.report.values import numbers, plain
from analysis.statistics.intervals import band
from analysis.statistics.profiles import Profile
from qd.seeding import generator

MOST_POINTS = 6000  # of the curves of all arms in a chart


@dataclass(frozen=True, slots=True)
class Compared:
    """What the arms of an experiment came to, as texts."""

    name: str
    seeds: Sequence[int]
    score: str  # what the task's score is called
    arms: Mapping[str, str]  # the settings of each
    cells: Mapping[str, Mapping[int, Cell]]  # by arm and seed: how far the run is, or a link to its page
    columns: Sequence[str]  # of the tables of metrics
    metrics: Mapping[str, Sequence[Sequence[str]]]  # the rows of each, an arm a row
    studies: Mapping[str, tuple[Sequence[str], Mapping[str, Sequence[Sequence[str]]]]]  # columns and metrics
    profiles: Mapping[str, Mapping[str, Profile]]  # by what the metric is called and by arm
    degraded: Mapping[str, Mapping[str, Sequence[degradation.Curve]]]  # by order and by arm
    notes: Sequence[str]
    plan: str  # experiment.yaml


def page_of_experiment(found: Compared, courses: Mapping[str, Sequence[pd.DataFrame]]) -> bytes:
    """Return the page of an experiment.

    Parameters
    ----------
    found
        What the arms came to.
    courses
        How the finished runs of each arm went on, a frame a seed.
    """
    settings = Table("Arms and what they change", ("arm", "settings"), list(found.arms.items()))
    grid = Table(
        "Runs by arm and seed",
        ("arm", *(f"seed {seed}" for seed in found.seeds)),
        [(arm, *(own[seed] for seed in found.seeds)) for arm, own in found.cells.items()],
    )
    compared: list[Block] = [Table(metric, found.columns, rows) for metric, rows in found.metrics.items()]
    curves = list(_curves(courses, found.score))
    parts = [
        Section("runs", "Arms and seeds", [settings, grid]),
        Section(
            "comparison",
            "Comparison",
            [*map(Text, found.notes), *(compared or [Text("No run is finished yet.")])],
        ),
        *(
            Section(
                f"study-{number}", title, [Table(metric, columns, rows) for metric, rows in metrics.items()]
            )
            for number, (title, (columns, metrics)) in enumerate(found.studies.items(), 1)
        ),
        *_section("profiles", "Performance profiles", list(_profiles(found.profiles))),
        *_section("degradation", "Degradation", list(_degraded(found.degraded, found.score))),
        Section("curves", "Curves", curves or [Text("No run is finished yet.")]),
        Section("plan", "Plan", configuration(found.plan)),
    ]
    told = f"An experiment of Plasmodia: {len(found.arms)} arms, {len(found.seeds)} seeds."
    return document(found.name, told, parts)


def _section(name: str, title: str, blocks: list[Block]) -> list[Section]:
    return [Section(name, title, blocks)] if blocks else []


def _profiles(profiles: Mapping[str, Mapping[str, Profile]]) -> Iterator[Block]:
    """Yield a chart for each metric: the share of seeds above a score."""
    for metric, arms in profiles.items():
        series = []
        for arm, found in arms.items():
            one = {"name": plain(arm), "x": numbers(found.thresholds), "y": numbers(found.shares)}
            if found.low is not None and found.high is not None:
                one |= {"low": numbers(found.low), "high": numbers(found.high)}
            series.append(one)
        yield chart(f"Seeds above a {metric}", "share of seeds", series, metric)


def _degraded(orders: Mapping[str, Mapping[str, Sequence[degradation.Curve]]], score: str) -> Iterator[Block]:
    """Yield a chart for each order: the score of the best networks as parts are removed, mean over seeds."""
    for order, arms in orders.items():
        series = []
        for arm, curves in arms.items():
            if not curves:
                continue
            values = degradation.gathered(curves)
            one = {
                "name": f"{plain(arm)} ({len(curves)})",
                "x": numbers(degradation.SHARES),
                "y": numbers(values.mean(axis=0)),
            }
            if len(curves) > 1:
                ends = degradation.band_of(values, arm, order)
                one |= dict(zip(("low", "high"), map(numbers, ends), strict=True))
            series.append(one)
        yield chart(
            f"Parts removed: {order}", f"test {score}, best network", series, "share of parts removed"
        )


def _curves(courses: Mapping[str, Sequence[pd.DataFrame]], score: str) -> Iterator[Block]:
    """Yield a chart for each metric over rounds and, where all runs count FLOPs, one over these."""
    known = {arm: frames for arm, frames in courses.items() if frames}
    titles = {
        "validation_loss": ("Validation loss", "mean of organisms"),
        "best_validation_score": (f"Validation {score}", "best organism"),
        "best_objective": ("Best objective", "0 to 1"),
        "coverage": ("Coverage", "share of cells"),
        "qd_score": ("QD score", "sum of objectives"),
    }
    counted = bool(known) and all(FLOPS in frame for frames in known.values() for frame in frames)
    for metric in METRICS if known else ():
        title, unit = titles[metric]
        yield _chart(known, metric, ROUND, f"{title} over rounds", unit)
        if counted:
            yield _chart(known, metric, FLOPS, f"{title} over counted FLOPs", unit)


def _chart(
    courses: Mapping[str, Sequence[pd.DataFrame]], metric: str, along: str, title: str, unit: str
) -> Chart:
    series = []
    for arm, frames in courses.items():
        points, values = gathered(frames, metric, along)
        one = {
            "name": f"{plain(arm)} ({len(frames)})",
            "x": points,
            "y": values.mean(axis=0),
        }
        known = np.isfinite(values).all(axis=0)
        if len(frames) > 1 and known.any():
            # The band that `analysis.experiments.curves` draws, by the same draws.
            ends = band(values[:, known], generator(0, 0, f"band of {metric} of {arm} along {along}"))
            for key, end in zip(("low", "high"), ends, strict=True):
                one[key] = np.full(len(points), np.nan)
                one[key][known] = end
        count = min(len(points), max(2, MOST_POINTS // (10 * len(courses))))
        kept = np.unique(np.linspace(0, len(points) - 1, count).round().astype(int))
        series.append({key: value if key == "name" else numbers(value[kept]) for key, value in one.items()})
    called = {ROUND: "round", FLOPS: "counted FLOPs"}[along]
    return chart(title, unit, series, called)
