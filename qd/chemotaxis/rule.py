"""The rule: good elites attract, and, when hungry, so do elites far from one's own kind.

A cell attracts by the objective of its elite, and by how empty the archive is around it and how far away from it the
organism's own components are; hunger, the lack of recent improvement, shifts the balance from the first to the second.
"""

import math

import numpy as np
from jaxtyping import Float64, Int64

from qd.chemotaxis.softmax import softmax
from qd.distances import squared_distances
from qd.view import View


def attraction(
    view: View,
    neighbours: Int64[np.ndarray, "cells k"],
    hunger: float,
    own: Float64[np.ndarray, "m measures"] | None = None,
) -> Float64[np.ndarray, " n"]:
    """Return the attraction of each filled cell: what is strange there weighed against the objective.

    ``a = hunger * strange + (1 - hunger) * objective``, where ``strange`` is the empty share of the nearest cells, or,
    where the organism's own components are given, the mean of that share and of the distance between the elite and the
    nearest of them, as a share of the largest such distance of an elite.

    Parameters
    ----------
    view
        The archive at the end of a round.
    neighbours
        The nearest other cells of each cell [cells, k] (`qd.centroids.neighbours`).
    hunger
        In [0, 1].
    own
        Where the organism's own components are, in the unit cube.

    Returns
    -------
    One number per elite of the view, in the order of its cells.

    Raises
    ------
    ValueError
        If hunger is outside [0, 1], or the neighbours are of another archive.
    """
    if not 0 <= hunger <= 1:
        raise ValueError(f"hunger must be in [0, 1], got {hunger}")
    if len(neighbours) != view.size:
        raise ValueError(
            f"neighbours must have one row for each of the {view.size} cells, got {len(neighbours)}"
        )
    cells = list(view.cells)
    filled = np.zeros(view.size)
    filled[cells] = 1.0
    strange = 1.0 - filled[neighbours[cells]].mean(axis=1)
    if own is not None and len(own) and cells:
        strange = (strange + _remoteness(view, own)) / 2
    return hunger * strange + (1 - hunger) * view.objectives


def _remoteness(view: View, own: Float64[np.ndarray, "m measures"]) -> Float64[np.ndarray, " n"]:
    distances = np.sqrt(squared_distances(view.behaviours, own).min(axis=1))
    largest = distances.max()
    return distances / largest if largest > 0 else distances


def probabilities(
    view: View,
    neighbours: Int64[np.ndarray, "cells k"],
    hunger: float,
    tau: float,
    depth: int | None = None,
    own: Float64[np.ndarray, "m measures"] | None = None,
) -> Float64[np.ndarray, " n"]:
    """Return the probability of each elite to be a parent: a softmax of the attraction.

    ``p(cell) ~ exp(attraction(cell) / tau)``

    Parameters
    ----------
    view, neighbours, hunger, own
        As in `attraction`.
    tau
        In units of the objective, above 0; a small one nearly always takes the most attractive cell.
    depth
        Only elites of this layer can be parents; None admits all.

    Returns
    -------
    One probability per elite, in the order of the cells; all 0 where no elite fits.

    Raises
    ------
    ValueError
        If tau is not above 0, or as in `attraction`.
    """
    pull = attraction(view, neighbours, hunger, own)
    if depth is not None:
        pull[[elite.depth != depth for elite in view.elites]] = -math.inf
    return softmax(pull, tau)
