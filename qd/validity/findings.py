"""The rules of the validity verdict: what is wrong with a sample of behaviours, and what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from qd.measures import FEWEST_VALUES, Ranges
from qd.validity import adequacy

KMO_STOP = 0.5
KMO_WARN = 0.6
LARGEST_CORRELATION = 0.95
LEAST_DIMENSION_SHARE = 0.6  # of the number of measures: 3 of 5
FEWEST_FOR_KMO = 3  # of two measures it is 1/2, whatever their correlation
LEAST_RELIABILITY = 0.5
LARGEST_SATURATION = 0.25
CONSTANT = 1e-6  # spread over magnitude that rounding in single precision can make
DUPLICATE = 1 - 1e-6


class Finding(NamedTuple):
    """One finding against a sample."""

    severity: Literal["warn", "stop", "skip"]  # skip: there is too little to judge
    text: str
    replace: str | None = None  # the measure that is at fault


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of behaviours, what is known of its measures, and the gate that it is judged by."""

    rows: np.ndarray  # float64 [n, p]
    groups: np.ndarray  # the organism of each row [n]
    names: tuple[str, ...]
    reliability: tuple[float | None, ...] | None
    ranges: Ranges | None
    gate: str

    def name(self, measure: int) -> str:
        """Return the name of a measure, by its column."""
        return self.names[measure]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of a sample that is not degenerate."""

    correlations: Float64[np.ndarray, "p p"]
    duplicated: tuple[tuple[int, int], ...]
    singular: bool  # the numbers below are then None
    kmo: float | None = None  # None too of two measures, and where no two are correlated
    interval: tuple[float, float] | None = None
    msa: tuple[float | None, ...] | None = None
    bartlett_chi2: float | None = None
    bartlett_p: float | None = None
    kernel_components: int | None = None


def constant(sample: Sample) -> tuple[str, ...]:
    """Return the names of the measures that do not vary by more than rounding; none if a value is not finite."""
    if len(sample.rows) < 2 or not np.isfinite(sample.rows).all():
        return ()
    largest, smallest = sample.rows.max(axis=0), sample.rows.min(axis=0)
    size = np.maximum(np.abs(largest), np.abs(smallest))
    size = np.where(size > 0, size, 1.0)
    flat = largest / size - smallest / size <= CONSTANT  # divided first: the difference could overflow
    return tuple(name for name, is_flat in zip(sample.names, flat, strict=True) if is_flat)


def saturation(sample: Sample) -> tuple[float, ...] | None:
    """Return the share of rows beyond each measure's range, in [0, 1]; None without ranges or rows."""
    if sample.ranges is None or not len(sample.rows):
        return None
    low, high = np.array(sample.ranges.low), np.array(sample.ranges.high)
    return tuple(((sample.rows < low) | (sample.rows > high)).mean(axis=0).tolist())


def degeneracies(sample: Sample) -> Iterator[Finding]:
    """Yield what makes correlations meaningless or impossible to compute."""
    n, p = sample.rows.shape
    if p < 2:
        yield Finding("skip", "one measure has no other to be compared with; give at least two")
    if n <= p + 1:
        yield Finding("skip", f"{n} rows are too few for {p} measures; sample at least {p + 2} components")
    for name, column in zip(sample.names, sample.rows.T, strict=True):
        if bad := int(n - np.isfinite(column).sum()):
            yield Finding("stop", f"{name} is not finite in {bad} of {n} rows; mend how it is measured", name)
    for name in constant(sample):
        yield Finding("stop", f"{name} is constant; vary what it depends on or replace it", name)


def weaknesses(sample: Sample) -> Iterator[Finding]:
    """Yield findings against single measures, whether or not they can be correlated."""
    for name, value in zip(sample.names, sample.reliability or (), strict=False):
        if value is None or value < LEAST_RELIABILITY:
            seen = "unknown" if value is None else f"{value:.2f}, under {LEAST_RELIABILITY}"
            yield Finding("stop", f"the reliability of {name} is {seen}; use more probe examples", name)
    for name, share in zip(sample.names, saturation(sample) or (), strict=False):
        if share > LARGEST_SATURATION:
            text = f"{share:.0%} of the rows lie beyond the range of {name}; calibrate for longer or widen it"
            yield Finding("warn", text)
    for name, column in zip(sample.names, sample.rows.T, strict=True):
        values = len(np.unique(column))
        if len(column) >= FEWEST_VALUES > values > 1:
            text = f"{name} has only {values} distinct values, under {FEWEST_VALUES}; vary what it depends on"
            yield Finding("warn", text)


def relations(sample: Sample, statistics: Statistics) -> Iterator[Finding]:
    """Yield findings between measures: duplicates, dependence, too few dimensions, a KMO too low or not computed."""
    yield from _pairs(sample, statistics)
    yield from _dimension(sample, statistics)
    if len(sample.names) < FEWEST_FOR_KMO:
        yield _no_kmo(statistics)
    elif not statistics.singular:
        yield from _kmo(sample, statistics)
    elif not statistics.duplicated:
        yield _dependence(sample, statistics)


def _pairs(sample: Sample, statistics: Statistics) -> Iterator[Finding]:
    for pair in combinations(range(len(sample.names)), 2):
        r = float(statistics.correlations[pair])
        if abs(r) <= LARGEST_CORRELATION:
            continue
        fault = (
            "are duplicates" if pair in statistics.duplicated else f"are too closely correlated (r = {r:.3f})"
        )
        worse = sample.name(_weaker(pair, sample, statistics))
        text = f"{sample.name(pair[0])} and {sample.name(pair[1])} {fault}; replace {worse}"
        yield Finding("stop", text, worse)


def _weaker(pair: tuple[int, int], sample: Sample, statistics: Statistics) -> int:
    """Return the less reliable of two measures or, at a tie, the one that shares more with all the rest."""
    reliability = sample.reliability or (None,) * len(sample.names)
    shared = np.sum(statistics.correlations**2, axis=0)
    return max(pair, key=lambda measure: (-(reliability[measure] or 0.0), shared[measure], measure))


def _dimension(sample: Sample, statistics: Statistics) -> Iterator[Finding]:
    dimension = adequacy.effective_dimension(statistics.correlations)
    least = LEAST_DIMENSION_SHARE * len(sample.names)
    if dimension < least:
        worst = sample.name(int(np.sum(statistics.correlations**2, axis=0).argmax()))
        text = f"{len(sample.names)} measures amount to {dimension:.2f} independent ones, under {least:g}; "
        yield Finding("stop", f"{text}replace {worst}, which shares most with the rest", worst)


def _no_kmo(statistics: Statistics) -> Finding:
    computed = "the correlation and the effective dimension were"
    if statistics.bartlett_p is not None:
        computed = "the correlation, Bartlett's test and the effective dimension were"
    return Finding("warn", f"the KMO needs at least three measures and was not computed; {computed}")


def _kmo(sample: Sample, statistics: Statistics) -> Iterator[Finding]:
    kmo, interval = statistics.kmo, statistics.interval
    if kmo is None:
        yield Finding("warn", "no two measures are correlated at all, so that there is no KMO")
        return
    if interval is None:
        yield Finding("warn", "the KMO has no interval: too few organisms, or too alike; sample more of them")
    if kmo < KMO_WARN:
        below = kmo if sample.gate == "blueprint" else interval[1] if interval else 1.0
        worst = sample.name(_least(statistics.msa))
        spread = f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        text = f"the KMO is {kmo:.3f}{spread}: the measures share little structure; "
        severity: Literal["stop", "warn"] = "stop" if below < KMO_STOP else "warn"
        yield Finding(severity, f"{text}consider replacing {worst}, whose MSA is the lowest", worst)


def _least(msa: tuple[float | None, ...] | None) -> int:
    assert msa is not None
    return int(np.argmin([0.0 if value is None else value for value in msa]))  # None: shares nothing at all


def _dependence(sample: Sample, statistics: Statistics) -> Finding:
    weights = np.abs(np.linalg.eigh(statistics.correlations)[1][:, 0])  # of the direction without variance
    involved = ", ".join(name for name, weight in zip(sample.names, weights, strict=True) if weight > 0.2)
    worst = sample.name(int(weights.argmax()))
    text = f"the correlations are near-singular: {involved} depend on one another; replace {worst}"
    return Finding("stop", text, worst)
