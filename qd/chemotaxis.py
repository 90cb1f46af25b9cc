"""Parent selection by chemotaxis: good elites attract, and, when hungry, so do elites far from one's own kind.

A cell attracts by the objective of its elite, and by how empty the archive is around it and how far away from it the
organism's own components are; hunger, the lack of recent improvement, shifts the balance from the first to the second.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from qd.elementary import exp_each
from qd.records import Candidate
from qd.view import View


def hunger(validation_losses: Sequence[float], window: int = 5) -> float:
    """Return how little an organism has improved lately: 0 for a lot, 1 for not at all.

    ``h = clip(1 - (before - now) / before, 0, 1)``: 1 without improvement, 0 when the loss is gone.

    Parameters
    ----------
    validation_losses
        Validation loss after each round so far, oldest first, in nats per example.
    window
        Over how many rounds, 1 or more. With fewer rounds lived, all of them count.

    Returns
    -------
    A number in [0, 1]; 1 (explore) while there are fewer than two losses, or where one of the two
    compared is not finite or there was no loss left to lower.

    Raises
    ------
    ValueError
        If `window` is below 1.
    """
    if window < 1:
        raise ValueError(f"window must be 1 round or more, got {window}")
    if len(validation_losses) < 2:
        return 1.0
    before, now = validation_losses[-window - 1 :][0], validation_losses[-1]
    if not (0 < before < math.inf and math.isfinite(now)):
        return 1.0
    return min(max(1.0 - (before - now) / before, 0.0), 1.0)


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
    places = np.array([elite.behaviour for elite in view.elites], dtype=np.float64)
    squares = np.zeros((len(places), len(own)))
    for theirs, ours in zip(places.T, own.T, strict=True):
        squares += (theirs[:, None] - ours[None, :]) ** 2
    distances = np.sqrt(squares.min(axis=1))
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
    if not 0 < tau < math.inf:
        raise ValueError(f"tau must be finite and above 0, got {tau}; a small one is nearly greedy")
    pull = attraction(view, neighbours, hunger, own)
    if depth is not None:
        pull[[elite.depth != depth for elite in view.elites]] = -math.inf
    highest = pull.max(initial=-math.inf)
    if highest == -math.inf:
        return np.zeros(len(pull))
    weights = exp_each((pull - highest) / tau)
    return weights / weights.sum()


def sample(
    view: View,
    neighbours: Int64[np.ndarray, "cells k"],
    hunger: float,
    tau: float,
    rng: np.random.Generator,
    depth: int | None = None,
) -> Candidate | None:
    """Draw one parent; None where the view has no elite that fits.

    Parameters
    ----------
    view, neighbours, hunger, tau, depth
        As in `probabilities`.
    rng
        A named stream (`qd.seeding.generator`); one uniform number of it is taken.

    Raises
    ------
    ValueError
        As in `probabilities`.
    """
    chances = probabilities(view, neighbours, hunger, tau, depth)
    return view.sample(chances, rng, 1)[0] if chances.any() else None


def apart(
    view: View,
    neighbours: Int64[np.ndarray, "cells k"],
    chances: Float64[np.ndarray, " n"],
    rng: np.random.Generator,
    count: int,
) -> tuple[Candidate, ...]:
    """Draw elites of different regions, without replacement: fewer than `count` where fewer have a chance.

    After each draw its cell and the cells nearest to it are left out, until no other is left to be drawn; then the
    neighbourhoods, but not the cells, are open again.

    Parameters
    ----------
    view, neighbours
        As in `attraction`.
    chances
        Of each elite, in the order of the cells, as `probabilities` gives them.
    rng
        A named stream; each elite takes one uniform number of it.
    count
        How many to draw.
    """
    left, open_ = chances.copy(), np.ones(view.size, dtype=bool)
    cells = np.array(view.cells, dtype=np.int64)
    drawn: list[Candidate] = []
    while len(drawn) < count and left.any():
        weights = np.where(open_[cells], left, 0.0)
        if not weights.any():
            open_[:] = True
            continue
        (place,) = view.places(weights, rng, 1)
        drawn.append(view.elites[place])
        left[place] = 0.0
        open_[neighbours[cells[place]]] = False
    return tuple(drawn)
