"""Structural genes: the range of each, and how they are drawn, mutated and crossed over."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qd.elementary import exp, log
from qd.records import Genes


@dataclass(frozen=True, slots=True)
class GeneRange:
    """Range of a structural gene, both ends included.

    Parameters
    ----------
    low, high
        Ends, in the gene's own unit.
    integer
        Whether only whole numbers are allowed.
    log
        Whether equal ratios, not equal differences, are equally likely; needs ``low > 0``.

    Raises
    ------
    ValueError
        If the ends are not finite or not in order, not whole where they must be, or not above 0 for `log`.
    """

    low: float
    high: float
    integer: bool = False
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"a gene needs finite ends, low <= high; they are {self.low} and {self.high}")
        if self.integer and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ValueError(f"an integer gene needs whole ends; they are {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic gene needs low > 0; it is {self.low}; use a linear one")

    def draw(self, rng: np.random.Generator) -> float:
        """Draw a value: uniform over the range (or over its logarithm), or over its whole numbers."""
        end = self.high + 1 if self.integer else self.high
        value = self._mix(self.low, end, rng.random())
        return self._clipped(math.floor(value) if self.integer else value)

    def between(self, first: float, second: float, share: float) -> float:
        """Interpolate between two values (or their logarithms), or beyond, rounded and clipped to what is allowed.

        Parameters
        ----------
        first, second
            Values of the gene, in its own unit.
        share
            How far to go: 0 stays at the first, 1 reaches the second.
        """
        value = self._mix(first, second, share)
        return self._clipped(round(value) if self.integer else value)

    def share(self, value: float) -> float:
        """Return where in the range (or its logarithm) a value lies, in [0, 1]; `between` the ends gives it back."""
        low, high, at = (
            (log(x) for x in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return (at - low) / (high - low) if high > low else 0.0

    def _clipped(self, value: float) -> float:
        return float(min(max(value, self.low), self.high))  # exp(log(low)) can round to less than low

    def _mix(self, first: float, second: float, share: float) -> float:
        if self.log:
            return exp(log(first) + share * (log(second) - log(first)))
        return first + share * (second - first)


GeneSpace = Mapping[str, GeneRange]


def random_genes(space: GeneSpace, rng: np.random.Generator) -> Genes:
    """Draw every gene of a space afresh, in the order of their names."""
    return tuple((name, space[name].draw(rng)) for name in sorted(space))


def redrawn(genes: Genes, rate: float, space: GeneSpace, rng: np.random.Generator) -> Genes:
    """Draw each gene of the space afresh with a probability; the others are kept.

    Parameters
    ----------
    genes
        The genes, sorted by name.
    rate
        Probability of each to be drawn afresh, in [0, 1].
    space
        The genes that may change, and their ranges.
    rng
        A named stream (`qd.seeding.generator`).

    Raises
    ------
    ValueError
        If a gene of the space is missing, or the rate is not in [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"gene_rate must be a probability in [0, 1]; it is {rate}")
    values = _checked(genes, space)
    for name in sorted(space):
        if rng.random() < rate:
            values[name] = space[name].draw(rng)
    return tuple(sorted(values.items()))


def crossed(first: Genes, second: Genes, space: GeneSpace, rng: np.random.Generator) -> Genes:
    """Take each gene of the space from the first parent, the second or a random point between, a third each.

    Genes outside the space are the first parent's.

    Parameters
    ----------
    first, second
        The parents' genes, sorted by name.
    space
        The genes that are crossed over, and their ranges.
    rng
        A named stream (`qd.seeding.generator`).

    Raises
    ------
    ValueError
        If a gene of the space is missing from a parent.
    """
    values, others = _checked(first, space), _checked(second, space)
    for name in sorted(space):
        between = space[name].between(values[name], others[name], rng.random())
        values[name] = (values[name], others[name], between)[rng.integers(3)]
    return tuple(sorted(values.items()))


def shifted(genes: Genes, shifts: Sequence[float], space: GeneSpace) -> Genes:
    """Move each gene of the space by a share of its range (or of its logarithm), at most to the end of it.

    Parameters
    ----------
    genes
        The genes, sorted by name.
    shifts
        One for each gene of the space, in the order of their names.
    space
        The genes that are moved, and their ranges.

    Raises
    ------
    ValueError
        If a gene of the space is missing.
    """
    values = _checked(genes, space)
    for name, shift in zip(sorted(space), shifts, strict=True):
        gene = space[name]
        values[name] = gene.between(gene.low, gene.high, gene.share(values[name]) + shift)
    return tuple(sorted(values.items()))


def _checked(genes: Genes, space: GeneSpace) -> dict[str, float]:
    values = dict(genes)
    if missing := sorted(set(space) - set(values)):
        raise ValueError(f"the genome lacks the genes {missing} of the space; it has {sorted(values)}")
    return values
