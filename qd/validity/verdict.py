"""Is the behaviour space one in which diversity means anything? A verdict, with reasons and remedies."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from qd.measures import Ranges
from qd.validity import adequacy
from qd.validity.findings import (
    DUPLICATE,
    FEWEST_FOR_KMO,
    KMO_WARN,
    Finding,
    Sample,
    Statistics,
    constant,
    degeneracies,
    relations,
    saturation,
    weaknesses,
)

GATES = ("robust", "blueprint", "off")
DRAWS = 500  # of the bootstrap
KMO_GOOD, KMO_EXCELLENT = 0.8, 0.9
UNCORRELATED = 1e-12  # correlations of this size are rounding, and their ratio is noise

MEANINGS = {
    "kmo": "The share of correlation that is common to several measures. Independent measures score "
    "about 0.5 and near-copies about 0.93: low says that nothing is shared, high is not therefore good.",
    "msa": "The same share for one measure; the lowest has least in common with the others.",
    "bartlett_p": "The chance of correlations this large if the measures were all independent.",
    "largest_correlation": "The size of the closest correlation of two measures; at 1, one is superfluous.",
    "effective_dimension": "How many independent measures these amount to.",
    "principal_components": "How many principal components explain 95 % of the measures' variance.",
    "kernel_components": "The same of functions of the measures (kernel PCA, RBF): more where the sample is curved.",
    "saturation": "The share of components beyond a measure's range, where the archive sees no difference.",
    "reliability": "How well a measure repeats itself on other probe examples: 0 is noise, 1 is exact.",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict on a sample of behaviours, with its statistics. A number that was not computed is None, never NaN."""

    status: Literal["ok", "warn", "stop", "skipped"]
    reasons: tuple[str, ...]  # why the status is not ok
    advice: tuple[str, ...]  # one per measure: keep it or replace it, and why
    gate: str
    names: tuple[str, ...]
    n: int  # rows
    organisms: int
    constant: tuple[str, ...]
    saturation: tuple[float, ...] | None  # share of rows beyond the range, per measure
    reliability: tuple[float | None, ...] | None
    duplicated: tuple[tuple[str, str], ...] = ()
    correlations: tuple[tuple[float, ...], ...] | None = None
    largest_correlation: float | None = None  # its size
    effective_dimension: float | None = None  # in measures
    kmo: float | None = None
    kmo_interval: tuple[float, float] | None = None  # 95 %, organisms drawn
    msa: tuple[float | None, ...] | None = None
    bartlett_chi2: float | None = None
    bartlett_p: float | None = None
    principal_components: int | None = None  # that explain 95 % of the variance
    kernel_components: int | None = None  # the same of kernel PCA


def grade(kmo: float) -> Literal["unacceptable", "acceptable", "good", "excellent"]:
    """Return the blueprint's word for a KMO: acceptable from 0.6 on, good from 0.8, excellent from 0.9.

    It is a word for how much the measures share. Near-copies of one measure share most: see `MEANINGS`.
    """
    if kmo < KMO_WARN:
        return "unacceptable"
    return "acceptable" if kmo < KMO_GOOD else "good" if kmo < KMO_EXCELLENT else "excellent"


def assess(
    samples: np.ndarray,
    groups: Sequence[int] | np.ndarray,
    names: Sequence[str],
    reliability: Sequence[float] | np.ndarray | None,
    ranges: Ranges | None,
    gate: str,
    seed: int,
    stops: bool,
) -> Verdict:
    """Return the verdict on a behaviour space, from a sample of it.

    Degenerate samples (values that are not finite, too few rows or measures, constant, duplicated or
    linearly dependent measures) are found first, and what cannot be computed from them stays None.
    Found at calibration (`stops`), these stop the run, as do a correlation over 0.95 in size, an
    effective dimension under three fifths of the number of measures (3 of 5) and a reliability under 0.5.
    On the KMO, gate ``robust`` stops when its 95 % interval lies wholly below 0.5 and ``blueprint`` when it
    is itself below 0.5; both warn below 0.6. Two measures have no KMO: both gates then go by the rest, and
    warn. With gate ``off``, and at later checks, what would stop only warns, and a sample that is too small
    is skipped.

    Parameters
    ----------
    samples
        Raw measures [n, p], p >= 2, each in its own unit.
    groups
        The organism of each row [n].
    names
        Of the p measures.
    reliability
        Of each measure over probe resamples [p], at most 1; None if unknown.
    ranges
        The raw values that become 0 and 1; None before there are any.
    gate
        One of `GATES`.
    seed
        Of the run; names the bootstrap's generator.
    stops
        Whether this check may stop the run.

    Raises
    ------
    ValueError
        If the shapes do not fit one another, or the gate is unknown.

    Source: Kaiser 1974; Bartlett 1950; Slime Mold Transformer blueprint, decision 10. Differs from the
    blueprint: the default gate asks whether a low KMO could be chance, and a high KMO is not called good.
    """
    sample = _checked(samples, groups, names, reliability, ranges, gate)
    degenerate = tuple(degeneracies(sample))
    statistics = None if degenerate else _measured(sample, seed)
    related = () if statistics is None else relations(sample, statistics)
    return _verdict(sample, statistics, (*degenerate, *weaknesses(sample), *related), stops)


def _checked(
    samples: np.ndarray,
    groups: Sequence[int] | np.ndarray,
    names: Sequence[str],
    reliability: Sequence[float] | np.ndarray | None,
    ranges: Ranges | None,
    gate: str,
) -> Sample:
    rows, members = np.asarray(samples, dtype=np.float64), np.asarray(groups)
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise ValueError(f"samples must be [n, {len(names)}], a column for each of {names}; got {rows.shape}")
    if members.shape != rows.shape[:1]:
        raise ValueError(f"groups must name the organism of each of {len(rows)} rows; got {members.shape}")
    if gate not in GATES:
        near = difflib.get_close_matches(str(gate), GATES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"gate must be one of {', '.join(GATES)}; it is {gate!r}{hint}")
    for thing, count in (
        ("reliability", None if reliability is None else np.size(reliability)),
        ("ranges", None if ranges is None else len(ranges.low)),
    ):
        if count not in (None, len(names)):
            raise ValueError(f"{thing} must have a value for each of {len(names)} measures; got {count}")
    known = None if reliability is None else tuple(_finite(value) for value in np.ravel(reliability))
    return Sample(rows, members, tuple(names), known, ranges, gate)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _measured(sample: Sample, seed: int) -> Statistics:
    columns = adequacy.standardised(sample.rows)
    correlations = adequacy.correlation(columns)
    pairs = combinations(range(len(sample.names)), 2)
    duplicated = tuple(pair for pair in pairs if abs(correlations[pair]) > DUPLICATE)
    spectrum = np.linalg.eigvalsh(correlations)
    if duplicated or spectrum[-1] > adequacy.LARGEST_CONDITION * spectrum[0]:
        return Statistics(correlations, duplicated, singular=True)
    chi2, p_value = adequacy.sphericity(columns)
    statistics = Statistics(
        correlations,
        duplicated,
        singular=False,
        bartlett_chi2=chi2,
        bartlett_p=p_value,
        kernel_components=adequacy.kernel_components(columns),
    )
    related = adequacy.largest_correlation(correlations) > UNCORRELATED
    if len(sample.names) < FEWEST_FOR_KMO or not related:
        return statistics
    kmo, msa = adequacy.sampling_adequacy(columns)
    return replace(
        statistics,
        kmo=kmo,
        interval=adequacy.kmo_interval(columns, sample.groups, DRAWS, seed),
        msa=tuple(_finite(value) for value in msa),
    )


def _verdict(
    sample: Sample, statistics: Statistics | None, findings: tuple[Finding, ...], stops: bool
) -> Verdict:
    verdict = Verdict(
        status=_status({finding.severity for finding in findings}, stops and sample.gate != "off"),
        reasons=tuple(finding.text for finding in findings),
        advice=tuple(_advice(name, findings) for name in sample.names),
        gate=sample.gate,
        names=sample.names,
        n=len(sample.rows),
        organisms=len(np.unique(sample.groups)),
        constant=constant(sample),
        saturation=saturation(sample),
        reliability=sample.reliability,
    )
    return verdict if statistics is None else _with_statistics(verdict, statistics)


def _with_statistics(verdict: Verdict, statistics: Statistics) -> Verdict:
    matrix = statistics.correlations
    return replace(
        verdict,
        duplicated=tuple((verdict.names[a], verdict.names[b]) for a, b in statistics.duplicated),
        correlations=tuple(tuple(row) for row in matrix.tolist()),
        largest_correlation=adequacy.largest_correlation(matrix),
        effective_dimension=adequacy.effective_dimension(matrix),
        kmo=statistics.kmo,
        kmo_interval=statistics.interval,
        msa=statistics.msa,
        bartlett_chi2=statistics.bartlett_chi2,
        bartlett_p=statistics.bartlett_p,
        principal_components=adequacy.principal_components(matrix),
        kernel_components=statistics.kernel_components,
    )


def _status(severities: set[str], stops: bool) -> Literal["ok", "warn", "stop", "skipped"]:
    if stops and severities & {"stop", "skip"}:
        return "stop"
    if "skip" in severities:
        return "skipped"
    return "warn" if severities else "ok"


def _advice(name: str, findings: tuple[Finding, ...]) -> str:
    against = [finding.text for finding in findings if finding.replace == name]
    return f"{name}: replace: " + "; ".join(against) if against else f"{name}: keep"
