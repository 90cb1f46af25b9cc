"""Which worker an order is for. No digest depends on it: placement moves states between machines, or spares that.

`load` sends an order to whoever is idle. `hash` keeps organisms of like behaviour together: the key of an order is the
cell in which the mean behaviour of its components lies. `random` draws a worker anew for each order, to compare with.
A key belongs to one of the workers by rendezvous hashing: when a worker is lost, only its own keys move.
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree

from qd.measures import Ranges
from qd.records import Census
from qd.seeding import uniform


def home(key: str, workers: Sequence[str], seed: int) -> str:
    """Return the worker that a key belongs to: the one whose hash together with the key is largest.

    Parameters
    ----------
    key
        What is placed.
    workers
        Their names, at least one, in any order.
    seed
        Seed of the run.

    Source: Thaler & Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking
    6, 1998. Differs from the blueprint's ``hash(cell) % devices``, by which nearly all move when one device is lost.
    """
    return max(workers, key=lambda worker: (uniform(seed, 0, f"place:{key}:{worker}"), worker))


def key_of(
    placement: str,
    organism: int,
    round: int,
    census: Census | None,
    ranges: Ranges,
    centroids: np.ndarray,
) -> str | None:
    """Return the key of an order, or None if any worker may do it.

    Parameters
    ----------
    placement
        ``load``, ``hash`` or ``random``.
    organism, round
        Of the order.
    census
        The organism's census of the round before; None before the first.
    ranges
        Of the measures, as calibrated.
    centroids
        Of the archive's cells.
    """
    if placement == "load":
        return None
    if placement == "random":
        return f"order {round} of {organism}"
    if census is None or not census.records:
        return f"organism {organism}"
    behaviours = [ranges.behaviour(record.measures)[0] for record in census.records]
    return f"cell {int(KDTree(centroids).query(np.mean(behaviours, axis=0))[1])}"
