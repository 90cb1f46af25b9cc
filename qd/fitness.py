"""Two kinds of fitness: the objective that the archive compares, and the living fitness behind deaths."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from qd.measures import Ranges
from qd.records import Candidate, Census, Record

COMPETES = "competes"
REASONS = {  # why a component does not compete, and what that means
    "immature": "younger than objective.maturity",
    "useless": "the 95 % bound of its assay is not above 0",
    "non-finite": "a number that was measured is not finite",
}


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the three terms of the objective; not negative, and 1 in sum.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or if the three do not add up to 1.

    Source: Slime Mold Transformer blueprint, decision 12.
    """

    task: float = 0.7
    efficiency: float = 0.2
    gradient: float = 0.1

    def __post_init__(self) -> None:
        weights = {field.name: getattr(self, field.name) for field in fields(self)}
        if not all(0 <= weight <= 1 for weight in weights.values()):
            raise ValueError(f"the objective's weights must lie in [0, 1]; they are {weights}; correct them")
        if not math.isclose(math.fsum(weights.values()), 1, abs_tol=1e-9):
            total = math.fsum(weights.values())
            raise ValueError(
                f"the objective's weights must add up to 1; {weights} give {total}; rescale them"
            )


def objective(
    assay: float,
    reference: float,
    flops: float,
    largest_flops: float,
    gradient_percentile: float,
    weights: Weights,
) -> float:
    """Return the objective that the archive compares, in [0, 1].

    ``w_task clip(assay / reference, 0, 1) + w_efficiency max(0, 1 - flops / largest_flops)
    + w_gradient gradient_percentile``

    Parameters
    ----------
    assay
        Mean drop of the reference hosts' probe loss, in nats per example.
    reference
        The assay whose term is 1 (calibration's 99th percentile), in nats per example, over 0.
    flops, largest_flops
        Counted cost of the component and of the costliest one that calibration knows, per example,
        forward; the efficiency of a component that costs more than that one is 0.
    gradient_percentile
        Place of the gate gradient among the organism's slots, in [0, 1] (see `percentiles`).
    weights
        Weights of the three terms.

    Raises
    ------
    ValueError
        If `reference` or `largest_flops` is not above 0, or if any number is not finite.
    """
    numbers = (assay, reference, flops, largest_flops, gradient_percentile)
    if not all(math.isfinite(value) for value in numbers):
        raise ValueError(
            "the objective needs finite numbers; assay, reference, flops, largest_flops and gradient "
            f"percentile are {numbers}; ask ineligible() first"
        )
    if reference <= 0 or largest_flops <= 0:
        raise ValueError(
            f"reference and largest_flops must be above 0; they are {reference} and {largest_flops}; "
            "calibrate for longer, so that components become useful"
        )
    terms = (
        weights.task * min(max(assay / reference, 0.0), 1.0),
        weights.efficiency * min(max(1 - flops / largest_flops, 0.0), 1.0),
        weights.gradient * gradient_percentile,
    )
    return math.fsum(terms)


def percentiles(values: Sequence[float]) -> tuple[float, ...]:
    """Return the percentile rank of each value, 0 for the smallest and 1 for the largest.

    ``(number smaller + half the number of equal others) / (n - 1)``, and 1/2 for a value alone.

    Parameters
    ----------
    values
        Finite numbers, in any unit.
    """
    ranked = np.asarray(values, dtype=np.float64)
    if len(ranked) == 1:
        return (0.5,)
    smaller = (ranked[None, :] < ranked[:, None]).sum(axis=1)
    equal_others = (ranked[None, :] == ranked[:, None]).sum(axis=1) - 1
    return tuple(((smaller + equal_others / 2) / (len(ranked) - 1)).tolist())


def ineligible(record: Record, maturity: int) -> str | None:
    """Return why a component may not compete for a cell, or None if it may.

    ``"non-finite"`` if any number of the record is; ``"immature"`` if it is younger than `maturity`
    rounds; ``"useless"`` if the lower 95 % bound of its assay is not above 0: a part that is cheap
    but does nothing is no elite.

    Parameters
    ----------
    record
        What the census says about the component.
    maturity
        Least age, in rounds lived, the record's own included.
    """
    if not all(math.isfinite(value) for value in _numbers(record)):
        return "non-finite"
    if record.age < maturity:
        return "immature"
    if record.assay_lower <= 0:
        return "useless"
    return None


def entrants(records: Iterable[Record], maturity: int) -> dict[str, int]:
    """Return how many components compete, under ``"competes"``, and how many do not, under each reason.

    Parameters
    ----------
    records
        Of a round.
    maturity
        As `ineligible` takes it, in rounds.
    """
    counts = dict.fromkeys((COMPETES, *REASONS), 0)
    for record in records:
        counts[ineligible(record, maturity) or COMPETES] += 1
    return counts


def _numbers(record: Record) -> tuple[float, ...]:
    own = (record.assay, record.assay_lower, record.ablation, record.gradient, record.flops, record.bytes)
    return own + record.measures


def shares(ablations: Sequence[float]) -> np.ndarray:
    """Return the living fitness of each slot of one organism: its share of all rises of the probe loss.

    ``max(rise, 0) / sum(max(rise, 0))``, and zeros where nothing rises.

    Parameters
    ----------
    ablations
        For each slot, the rise of the probe loss when it is gated off, in nats per example.

    Returns
    -------
    numpy.ndarray
        float64 [slots], in [0, 1], 1 (or 0) in sum.

    Raises
    ------
    ValueError
        If a rise is not finite; an organism whose loss is not finite must have its lifecycle frozen.
    """
    rises = np.asarray(ablations, dtype=np.float64)
    if not np.isfinite(rises).all():
        slot = int(np.flatnonzero(~np.isfinite(rises))[0])
        raise ValueError(
            f"ablations must be finite; number {slot} is {rises[slot]}; freeze the lifecycle of this organism"
        )
    rises = np.maximum(rises, 0.0)
    largest = rises.max(initial=0.0)
    if largest == 0:
        return np.zeros_like(rises)
    rises = rises / largest  # before the sum, which could otherwise overflow
    return rises / math.fsum(rises.tolist())


def candidates(
    census: Census,
    ranges: Ranges,
    reference: float,
    largest_flops: float,
    maturity: int,
    weights: Weights,
) -> tuple[Candidate, ...]:
    """Return a candidate for each component of a census that may compete, in the census's order.

    The gradient percentile is taken among all living slots of the organism whose gate gradient is
    finite, whether they compete or not.

    Parameters
    ----------
    census
        Of one organism and round.
    ranges
        Which raw measures become 0 and 1.
    reference, largest_flops, weights
        As `objective` takes them.
    maturity
        As `ineligible` takes it, in rounds.
    """
    ranked = [record for record in census.records if math.isfinite(record.gradient)]
    places = dict(
        zip(
            (record.component for record in ranked),
            percentiles([record.gradient for record in ranked]),
            strict=True,
        )
    )
    return tuple(
        _candidate(
            record,
            census.round,
            ranges,
            objective(
                record.assay, reference, record.flops, largest_flops, places[record.component], weights
            ),
        )
        for record in census.records
        if ineligible(record, maturity) is None
    )


def _candidate(record: Record, round_: int, ranges: Ranges, value: float) -> Candidate:
    behaviour, out_of_range = ranges.behaviour(record.measures)
    return Candidate(
        component=record.component,
        parents=record.parents,
        lineage=record.lineage,
        depth=record.depth,
        genes=record.genes,
        genome=record.genome,
        round=round_,
        behaviour=behaviour,
        out_of_range=out_of_range,
        objective=value,
    )
