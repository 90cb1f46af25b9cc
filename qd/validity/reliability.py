"""How well measures repeat themselves when other examples are looked at."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike


def split_half(even: ArrayLike, odd: ArrayLike) -> Float64[np.ndarray, " p"]:
    """Return the reliability of each measure from two halves of the probe split.

    ``2 r / (1 + r)`` with r the Pearson correlation over components between the two halves
    (Spearman 1910, Brown 1910); 0 where a half is constant or r is not above 0.

    Parameters
    ----------
    even, odd
        The same n components measured on every second example and on the others, [n, p].

    Raises
    ------
    ValueError
        If the two are not tables of one shape.
    """
    first, second = np.asarray(even, dtype=np.float64), np.asarray(odd, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"the halves must be [n, p] alike; they are {first.shape} and {second.shape}")
    first, second = first - first.mean(0), second - second.mean(0)
    size = np.sqrt((first**2).sum(0) * (second**2).sum(0))
    r = np.divide((first * second).sum(0), size, out=np.zeros(first.shape[1]), where=size > 0)
    r = np.clip(r, 0.0, 1.0)
    return 2 * r / (1 + r)
