"""Two kinds of fitness: the objective that the archive compares, and the living fitness behind deaths."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise

import numpy as np

from qd.measures import Ranges
from qd.records import Candidate, Census, Child, Record

COMPETES = "competes"
KINDS = ("assay", "alignment", "information")  # what the first term of the objective goes by
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


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What makes objective and behaviour of a component's measurements in the reference hosts; fixed for a run.

    Parameters
    ----------
    ranges
        Which raw measures become 0 and 1.
    reference
        The assay whose term is 1/2 (calibration's 99th percentile), in nats per example.
    largest_flops
        Counted cost of the costliest component that the genes allow, per example, forward.
    gradients
        Sizes of the gate gradients of calibration's components, rising.
    weights
        Weights of the three terms.
    kind
        What the first term goes by: ``assay``, or a worth of another kind, ``alignment`` or ``information``.

    Raises
    ------
    ValueError
        If `reference` or `largest_flops` is not finite and above 0, `gradients` do not rise, or the kind is not known.
    """

    ranges: Ranges
    reference: float
    largest_flops: float
    gradients: tuple[float, ...]
    weights: Weights = field(default_factory=Weights)
    kind: str = "assay"

    def __post_init__(self) -> None:
        if not (0 < self.reference < math.inf and 0 < self.largest_flops < math.inf):
            raise ValueError(
                f"reference and largest_flops must be above 0; they are {self.reference} and {self.largest_flops}; "
                "calibrate for longer, so that components become useful"
            )
        if not self.gradients or any(low > high for low, high in pairwise(self.gradients)):
            raise ValueError(f"gradients must be one or more and rise; they are {self.gradients}")
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")

    def objective(self, assay: float, flops: float, gradient: float, worth: float | None = None) -> float:
        """Return the objective that the archive compares, in [0, 1].

        ``w_task x / (1 + x) + w_efficiency max(0, 1 - flops / largest_flops) + w_gradient percentile``, where
        ``x = max(0, assay) / reference`` and the percentile is the share of calibration's components whose gate
        gradient is smaller, with half of those that have the same. The first term is 1/2 at the reference, rises with
        every better assay, and never reaches 1. Of another kind the first term is ``w_task max(0, worth)``: worths are
        bounded by 1 (`organisms.residual.worths`).

        Parameters
        ----------
        assay
            Mean drop of the reference hosts' probe loss, in nats per example.
        flops
            Counted cost per example, forward; what costs more than the costliest known has no efficiency.
        gradient
            Size of the gate gradient in the hosts, in nats.
        worth
            In the hosts, of `kind`; None where that is ``assay``.

        Raises
        ------
        ValueError
            If a number is not finite, or there is no worth where the kind asks for one.
        """
        if self.kind != "assay" and worth is None:
            raise ValueError(
                f"the objective goes by {self.kind}, but there is none; score the component again"
            )
        numbers = (assay, flops, gradient, *(() if worth is None else (worth,)))
        if not all(math.isfinite(value) for value in numbers):
            raise ValueError(
                f"the objective needs finite numbers; assay, flops, gradient and worth, if any, are {numbers}; ask "
                "ineligible() first"
            )
        share = max(assay, 0.0) / self.reference
        task = 1 - 1 / (1 + share) if self.kind == "assay" or worth is None else min(max(worth, 0.0), 1.0)
        left, right = bisect_left(self.gradients, gradient), bisect_right(self.gradients, gradient)
        terms = (
            self.weights.task * task,
            self.weights.efficiency * min(max(1 - flops / self.largest_flops, 0.0), 1.0),
            self.weights.gradient * (left + right) / (2 * len(self.gradients)),
        )
        return math.fsum(terms)


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
    return own + record.measures + (() if record.worth is None else (record.worth,))


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


def living(
    ablations: Sequence[float], flops: Sequence[float], largest_flops: float, efficiency: float
) -> np.ndarray:
    """Return the living fitness of each slot of one organism: its share of all uses, and of what is spared.

    ``(1 - w) shares_n + w e_n / sum_m e_m`` with ``e_n = max(0, 1 - flops_n / largest_flops)``, the efficiency of the
    objective, so that both are shares; without a weight it is `shares`.

    Parameters
    ----------
    ablations
        As `shares` takes them.
    flops
        Counted cost of each slot per example, forward.
    largest_flops
        Of the costliest component that the genes allow.
    efficiency
        w, in [0, 1].

    Returns
    -------
    numpy.ndarray
        float64 [slots], in [0, 1].

    Raises
    ------
    ValueError
        If a rise is not finite, or the weight lies outside [0, 1].
    """
    if not 0 <= efficiency <= 1:
        raise ValueError(f"efficiency must be a weight in [0, 1], not {efficiency}")
    used = shares(ablations)
    if efficiency == 0:
        return used
    spared = np.maximum(0.0, 1 - np.asarray(flops, dtype=np.float64) / largest_flops)
    total = math.fsum(spared.tolist())
    return (1 - efficiency) * used + efficiency * (spared / total if total > 0 else spared)


def candidates(census: Census, yardstick: Yardstick, maturity: int) -> tuple[Candidate, ...]:
    """Return a candidate for each component of a census that may compete, in the census's order.

    Parameters
    ----------
    census
        Of one organism and round.
    yardstick
        Makes objectives and behaviours of measurements.
    maturity
        As `ineligible` takes it, in rounds.
    """
    return tuple(
        candidate(record, census.round, yardstick)
        for record in census.records
        if ineligible(record, maturity) is None
    )


def candidate(record: Record | Child, round_: int, yardstick: Yardstick) -> Candidate:
    """Return what competes for a component that was measured in the hosts.

    Parameters
    ----------
    record
        What was measured.
    round_
        In which.
    yardstick
        Makes objective and behaviour of it.
    """
    behaviour, out_of_range = yardstick.ranges.behaviour(record.measures)
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
        objective=yardstick.objective(record.assay, record.flops, record.gradient, record.worth),
    )
