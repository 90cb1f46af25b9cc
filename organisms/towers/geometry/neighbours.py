"""Whom an address hears: the nearest k, or all within a radius."""

from numbers import Real

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from organisms.towers.geometry.mailbox import is_count


def nearest(
    distances: Float[Tensor, "N M"], possible: Bool[Tensor, "N M"], k: int | None, radius: float | None
) -> list[list[int]]:
    """Return for each of N readers the senders that it hears, the nearest first; of equal ones the first.

    Parameters
    ----------
    distances
        Distance from reader to sender, [N, M].
    possible
        Which pairs may be at all, [N, M].
    k
        At most so many; None: any number.
    radius
        At most so far, this distance included; None: any distance.
    """
    heard = possible if radius is None else possible & (distances <= radius)
    order = torch.sort(distances, dim=1, stable=True).indices
    rows = zip(order.tolist(), heard.tolist(), strict=True)
    return [[sender for sender in row if hears[sender]][:k] for row, hears in rows]


def check_reach(k: int | None, radius: float | None) -> None:
    """Refuse a number of neighbours or a radius that cannot be.

    Raises
    ------
    ValueError
        If `k` is neither None nor a whole number from 1 on, or `radius` neither None nor a number from 0 on.
    """
    if k is not None and not is_count(k):
        raise ValueError(f"k must be a whole number of neighbours from 1 on, or None for all, but is {k!r}")
    if radius is not None and not (isinstance(radius, Real) and radius >= 0):
        raise ValueError(f"radius must be a distance from 0 on, or None for any, but is {radius!r}")
