"""Draws of several elites from different regions of the archive."""

import numpy as np
from jaxtyping import Float64, Int64

from qd.records import Candidate
from qd.view import View


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
