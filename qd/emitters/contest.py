"""What children have to beat: the objectives of the elites of a view, cell by cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial import KDTree

from qd.fitness import Yardstick
from qd.records import Candidate
from qd.view import View


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """The cells of an archive, and the objective that is held in each.

    Parameters
    ----------
    centroids
        Of the cells [cells, p], in the unit cube.
    held
        Objective of the elite of each cell; -inf where it is empty.
    yardstick
        Makes objectives and behaviours of measurements.
    """

    centroids: Float64[np.ndarray, "cells p"]
    held: Float64[np.ndarray, " cells"]
    yardstick: Yardstick

    @classmethod
    def of(cls, view: View, centroids: Float64[np.ndarray, "cells p"], yardstick: Yardstick) -> "Contest":
        """Return the contest that a view stands for.

        Parameters
        ----------
        view
            The archive at the end of a round.
        centroids, yardstick
            As in the class.
        """
        held = np.full(view.size, -math.inf)
        held[list(view.cells)] = view.objectives
        return cls(centroids, held, yardstick)

    def cells(self, behaviours: Sequence[Sequence[float]]) -> Int64[np.ndarray, " n"]:
        """Return the cell of each behaviour, a point of the unit cube: that of the nearest centroid."""
        points = np.array(behaviours, dtype=np.float64).reshape(-1, self.centroids.shape[1])
        return np.asarray(KDTree(self.centroids).query(points)[1], dtype=np.int64)

    def contenders(self, candidates: Sequence[Candidate]) -> list[int]:
        """Return the places of those that may win: better than their cell's elite, and the best of them in the cell.

        Of equal ones the first stays.
        """
        best: dict[int, int] = {}
        cells = self.cells([candidate.behaviour for candidate in candidates]).tolist()
        for place, (candidate, cell) in enumerate(zip(candidates, cells, strict=True)):
            rival = best.get(cell)
            bar = self.held[cell] if rival is None else candidates[rival].objective
            if candidate.objective > bar:
                best[cell] = place
        return sorted(best.values())
