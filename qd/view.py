"""Snapshots of the archive, which decisions read: its elites at the end of a round, immutable and in cell order."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from qd.records import Candidate


@dataclass(frozen=True, slots=True)
class View:
    """Immutable snapshot of the archive.

    Parameters
    ----------
    cells
        Filled cells, ascending.
    elites
        Who holds them, in the same order.
    size
        Number of cells of the archive, filled or not.
    qd_offset
        Lowest objective there can be; the QD score counts from it.
    tries
        Of each elite, how many candidates of births were made of it so far (`qd.chemotaxis.tries`); none given: none.

    Raises
    ------
    ValueError
        If cells are not ascending within the archive, or there is not one elite, and one count of tries, for each.
    """

    cells: tuple[int, ...]
    elites: tuple[Candidate, ...]
    size: int
    qd_offset: float = 0.0
    tries: tuple[int, ...] = ()
    objectives: Float64[np.ndarray, " n"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.cells) != len(self.elites):
            raise ValueError(
                f"a view needs one elite per cell, got {len(self.elites)} for {len(self.cells)} cells"
            )
        if self.tries and len(self.tries) != len(self.elites):
            raise ValueError(
                f"a view needs one count of tries per elite, got {len(self.tries)} for {len(self.elites)}"
            )
        bounded = (-1, *self.cells, self.size)
        if any(left >= right for left, right in pairwise(bounded)):
            raise ValueError(f"the cells of a view must ascend within 0..{self.size - 1}, got {self.cells}")
        objectives = np.array([elite.objective for elite in self.elites], dtype=np.float64)
        objectives.flags.writeable = False
        object.__setattr__(self, "objectives", objectives)

    @property
    def behaviours(self) -> Float64[np.ndarray, "n measures"]:
        """Where the elites are, in the unit cube, in the order of the cells."""
        rows = [elite.behaviour for elite in self.elites]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(rows[0]) if rows else 0)

    @property
    def coverage(self) -> float:
        """Share of the cells that are filled."""
        return len(self.cells) / self.size

    @property
    def component_coverage(self) -> float:
        """Distinct components among the elites, as a share of the cells.

        A component that drifts while it trains fills several cells; this counts it once.
        """
        return len({elite.component for elite in self.elites}) / self.size

    @property
    def lineage_coverage(self) -> float:
        """Distinct founders from which the elites descend, as a share of the cells."""
        return len({elite.lineage for elite in self.elites}) / self.size

    @property
    def qd_score(self) -> float:
        """Sum over the elites of (objective - offset), exactly rounded."""
        return math.fsum(elite.objective - self.qd_offset for elite in self.elites)

    @property
    def normalised_qd_score(self) -> float:
        """QD score per cell of the archive, filled or not."""
        return self.qd_score / self.size

    @property
    def best(self) -> Candidate | None:
        """The elite of the highest objective (of the lowest cell among equals); None in an empty view."""
        return max(self.elites, key=lambda elite: elite.objective, default=None)

    @property
    def mean_objective(self) -> float | None:
        """Mean objective of the elites; None in an empty view."""
        return math.fsum(self.objectives.tolist()) / len(self.elites) if self.elites else None

    @property
    def median_objective(self) -> float | None:
        """Median objective of the elites; None in an empty view."""
        return float(np.median(self.objectives)) if self.elites else None

    def sample(self, weights: ArrayLike, generator: np.random.Generator, n: int) -> tuple[Candidate, ...]:
        """Draw `n` elites with replacement: those at the places that `places` draws.

        Parameters
        ----------
        weights, generator, n
            As in `places`.
        """
        return tuple(self.elites[place] for place in self.places(weights, generator, n))

    def places(self, weights: ArrayLike, generator: np.random.Generator, n: int) -> list[int]:
        """Draw places of `n` elites, counted in the order of the cells, with replacement.

        Parameters
        ----------
        weights
            One per elite, in the order of the cells; 0 or above, of any positive sum.
        generator
            A named stream (`qd.seeding.generator`); each elite takes one uniform number of it.
        n
            How many to draw.

        Raises
        ------
        ValueError
            If there is not one weight per elite, or the weights do not say what to draw.
        """
        chances = np.asarray(weights, dtype=np.float64)
        if chances.shape != (len(self.elites),):
            raise ValueError(
                f"weights must be one per elite, [{len(self.elites)}], got shape {chances.shape}"
            )
        cumulative = np.cumsum(chances)
        if not (len(chances) and (chances >= 0).all() and 0 < cumulative[-1] < math.inf):
            raise ValueError(
                f"weights must be finite, 0 or above, and not all 0, got {chances.tolist()}; "
                "an empty view has nothing to draw"
            )
        points = generator.random(n) * cumulative[-1]
        found: list[int] = np.searchsorted(cumulative, points, side="right").tolist()
        return found
