"""Which measures to take: sets of those on offer, ranked by how sound a behaviour space they span."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from qd.validity.adequacy import LARGEST_CONDITION, correlation, kmo, standardised
from qd.validity.findings import CONSTANT

LEAST_KMO = 0.6
LEAST_RELIABILITY = 0.7
LEAST_DIMENSION_SHARE = 0.6  # of the number of measures: 3 of 5
LARGEST_CORRELATION = 0.9


@dataclass(frozen=True, slots=True)
class MeasureSet:
    """Some measures, and the statistics of the behaviour space that they span on one sample."""

    names: tuple[str, ...]
    kmo: float
    reliability: float  # of the least reliable one
    effective_dimension: float  # in measures
    largest_correlation: float  # its size

    @property
    def margin(self) -> float:
        """How far the worst of its four statistics lies within its limit; below 0 where one misses it.

        The least of ``KMO - 0.6``, ``reliability - 0.7``, ``dimension / p - 0.6`` and ``0.9 - |r|``, each in [-1, 1].
        """
        return min(
            self.kmo - LEAST_KMO,
            self.reliability - LEAST_RELIABILITY,
            self.effective_dimension / len(self.names) - LEAST_DIMENSION_SHARE,
            LARGEST_CORRELATION - self.largest_correlation,
        )


def usable(rows: ArrayLike, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the measures that are finite and vary; only these can be in a set.

    Parameters
    ----------
    rows
        Raw measures [n, m].
    names
        Of the m measures.
    """
    table = np.asarray(rows, dtype=np.float64)
    return tuple(name for name, column in zip(names, table.T, strict=True) if _varies(column))


def ranked(
    rows: ArrayLike, reliability: ArrayLike, names: Sequence[str], size: int = 5
) -> tuple[MeasureSet, ...]:
    """Return all sets of `size` measures, the soundest first: by their margins, at a tie by their names' order.

    Sets whose correlation matrix is singular are left out.

    Parameters
    ----------
    rows
        Raw measures [n, m] of a sample, finite, each varying (`usable`).
    reliability
        Of each measure [m], in [0, 1].
    names
        Of the m measures.
    size
        Measures of a set, at least 3.

    Raises
    ------
    ValueError
        If a set cannot have so many measures, or the shapes do not fit.

    Source: the limits are those of `qd.validity.findings`, with a reliability and a correlation that leave room.
    """
    table, repeat = np.asarray(rows, dtype=np.float64), np.asarray(reliability, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(names) or repeat.shape != (len(names),):
        raise ValueError(
            f"rows must be [n, {len(names)}] and reliability [{len(names)}]; they are {table.shape} and {repeat.shape}"
        )
    if not 3 <= size <= len(names):
        raise ValueError(f"a set has 3 to {len(names)} measures, which is all there are, not {size}")
    whole = correlation(standardised(table))
    chosen = np.array(list(combinations(range(len(names)), size)))
    matrices = whole[chosen[:, :, None], chosen[:, None, :]]
    spectra = np.linalg.eigvalsh(matrices)
    regular = spectra[:, 0] * LARGEST_CONDITION > spectra[:, -1]
    chosen, matrices = chosen[regular], matrices[regular]
    adequacy = kmo(matrices)
    sizes = np.abs(matrices - np.eye(size))
    found = [
        MeasureSet(
            names=tuple(names[place] for place in places),
            kmo=float(value) if math.isfinite(value) else 0.0,
            reliability=float(repeat[places].min()),
            effective_dimension=float(size**2 / np.square(matrix).sum()),
            largest_correlation=float(largest),
        )
        for places, value, matrix, largest in zip(
            chosen, adequacy, matrices, sizes.max(axis=(1, 2)), strict=True
        )
    ]
    return tuple(sorted(found, key=lambda each: -each.margin))


def _varies(column: np.ndarray) -> bool:
    """Whether all numbers are finite and differ by more than rounding in single precision can make."""
    return bool(np.isfinite(column).all() and np.ptp(column) > CONSTANT * np.abs(column).max())
