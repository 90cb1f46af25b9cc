"""The archive: the best component found in each cell of the behaviour space.

Cells are those of ribs' `CVTArchive`, which holds an integer handle for each elite; what happens in a
competition is decided here, one candidate at a time in component-id order, because ribs reports a batch
against the archive before it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike
from ribs.archives import CVTArchive

from qd.centroids import check
from qd.records import Candidate, Outcome, Status
from qd.view import View


class Archive:
    """Keeps the best candidate of each cell; the result does not depend on the order within a commit.

    Parameters
    ----------
    centroids
        Points [cells, p] of the unit cube (`qd.centroids`), one column per measure.
    qd_offset
        Lowest objective there can be; the QD score counts from it, so it never falls.

    Raises
    ------
    ValueError
        If the centroids are not different points of the unit cube, or the offset is not finite.

    Source: Vassiliades, Chatzilygeroudis & Mouret 2018, "Using centroidal Voronoi tessellations to scale
    up the multidimensional archive of phenotypic elites".
    """

    def __init__(self, centroids: ArrayLike, qd_offset: float = 0.0) -> None:
        if not math.isfinite(qd_offset):
            raise ValueError(f"qd_offset must be finite, got {qd_offset}; give the lowest possible objective")
        points = check(centroids)
        self._size, self._measures = points.shape
        self._offset = float(qd_offset)
        self._elites: dict[int, Candidate] = {}
        self._accepted = 0
        self._visits = np.zeros(self._size, dtype=np.int64)
        self._improvements = np.zeros(self._size, dtype=np.int64)
        self._out_of_range = np.zeros(self._measures, dtype=np.int64)
        self._ribs = self._empty_ribs(points)

    @property
    def visits(self) -> Int64[np.ndarray, " cells"]:
        """Number of candidates that came to each cell so far."""
        return self._visits.copy()

    @property
    def improvements(self) -> Int64[np.ndarray, " cells"]:
        """Number of them that were inserted or replaced the incumbent, by cell."""
        return self._improvements.copy()

    @property
    def out_of_range(self) -> Int64[np.ndarray, " measures"]:
        """Number of candidates that had each measure clipped to the unit cube."""
        return self._out_of_range.copy()

    def commit(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        """Insert candidates, one at a time in component-id order; each competes for its cell.

        A candidate takes an empty cell, or replaces an incumbent of a lower objective. A tie keeps the
        incumbent; among equals of one commit the smaller id is thus the one that stays. Either all
        candidates compete or, on an error, none.

        Parameters
        ----------
        candidates
            In any order; at most one per component.

        Returns
        -------
        One outcome per candidate, in component-id order.

        Raises
        ------
        ValueError
            If a component comes twice, a behaviour is not a point of the unit cube, or an objective is
            not finite or under the QD offset.
        """
        ordered = sorted(candidates, key=lambda candidate: candidate.component)
        for first, second in pairwise(ordered):
            if first.component == second.component:
                raise ValueError(
                    f"component {first.component} competes twice in one commit; send one record of it"
                )
        return self._compete(ordered)

    def restore(self, outcomes: Iterable[Outcome]) -> None:
        """Repeat journaled competitions, rejected ones too, in the order of the journal.

        The same archive (elites, counters, handles) results as from the commits that gave the outcomes.

        Raises
        ------
        ValueError
            If an outcome is not what this archive comes to, so that the journal or the centroids
            belong to another run; the archive may then be thrown away.
        """
        journaled = list(outcomes)
        repeated = self._compete([outcome.candidate for outcome in journaled])
        for wanted, found in zip(journaled, repeated, strict=True):
            if wanted != found:
                raise ValueError(
                    f"component {wanted.candidate.component} of round {wanted.candidate.round} is "
                    f"journaled as {_sentence(wanted)}, but competing again gives {_sentence(found)}; "
                    "use the run's own centroids and all its outcomes in order"
                )

    def view(self, tries: Mapping[str, int] | None = None) -> View:
        """Take an immutable snapshot, cells ascending.

        Parameters
        ----------
        tries
            How many candidates of births were made of a genome, by its digest; None: they are not counted.
        """
        cells = tuple(sorted(self._elites))
        elites = tuple(self._elites[cell] for cell in cells)
        counted = () if tries is None else tuple(tries.get(elite.genome, 0) for elite in elites)
        return View(cells, elites, self._size, self._offset, counted)

    def to_ribs(self) -> CVTArchive:
        """Return the elites as a new ribs archive, filled in cell order.

        A solution is a handle: the candidate was the n-th, counted from 0, that any cell accepted.
        """
        data = self._ribs.data(["index", "solution", "objective", "measures"])
        order = np.argsort(data.pop("index"))
        archive = self._empty_ribs(self._ribs.centroids.copy())
        if len(order):
            archive.add(**{name: values[order] for name, values in data.items()})
        return archive

    def _empty_ribs(self, centroids: Float64[np.ndarray, "cells p"]) -> CVTArchive:
        return CVTArchive(
            solution_dim=(),
            centroids=centroids,
            ranges=[(0.0, 1.0)] * self._measures,
            qd_score_offset=self._offset,
            seed=0,  # only its own sampling would use it
            solution_dtype=np.int64,
        )

    def _compete(self, ordered: Sequence[Candidate]) -> list[Outcome]:
        if not ordered:
            return []
        behaviours = self._behaviours(ordered)
        cells = self._ribs.index_of(behaviours)
        changes: dict[int, tuple[int, int]] = {}  # cell: (handle, row) of its last winner
        outcomes = []
        for row, (candidate, cell) in enumerate(zip(ordered, cells.tolist(), strict=True)):
            outcome = _outcome(candidate, cell, self._elites.get(cell))
            outcomes.append(outcome)
            if outcome.status != "reject":
                self._elites[cell] = candidate
                changes[cell] = (self._accepted, row)
                self._accepted += 1
                self._improvements[cell] += 1
        self._visits += np.bincount(cells, minlength=self._size)
        self._out_of_range += np.array([candidate.out_of_range for candidate in ordered]).sum(axis=0)
        if changes:
            handles, rows = map(list, zip(*changes.values(), strict=True))
            self._ribs.add(handles, [ordered[row].objective for row in rows], behaviours[rows])
        return outcomes

    def _behaviours(self, candidates: Sequence[Candidate]) -> Float64[np.ndarray, "n measures"]:
        for candidate in candidates:
            if not self._offset <= candidate.objective < math.inf:
                raise ValueError(
                    f"the objective of component {candidate.component} must be finite and at least the "
                    f"qd_offset {self._offset}, got {candidate.objective}"
                )
            if not len(candidate.behaviour) == len(candidate.out_of_range) == self._measures:
                raise ValueError(
                    f"component {candidate.component} needs {self._measures} measures, one per column of the "
                    f"centroids, got behaviour {candidate.behaviour}, out_of_range {candidate.out_of_range}"
                )
        behaviours = np.array([candidate.behaviour for candidate in candidates], dtype=np.float64)
        outside = np.flatnonzero(~((behaviours >= 0) & (behaviours <= 1)).all(axis=1))
        if len(outside):
            candidate = candidates[outside[0]]
            raise ValueError(
                f"the behaviour of component {candidate.component} must be a point of the unit cube, got "
                f"{candidate.behaviour}; map raw measures with Ranges.behaviour"
            )
        return behaviours


def _outcome(candidate: Candidate, cell: int, incumbent: Candidate | None) -> Outcome:
    if incumbent is None:
        return Outcome(candidate, "insert", cell, None, None)
    status: Status = "replace" if candidate.objective > incumbent.objective else "reject"
    return Outcome(candidate, status, cell, incumbent.component, incumbent.objective)


def _sentence(outcome: Outcome) -> str:
    return (
        f"{outcome.status} in cell {outcome.cell} against {outcome.incumbent} ({outcome.incumbent_objective})"
    )
