"""Euclidean distances, squared, in float64: summed measure by measure, so that their bits depend on no library."""

import numpy as np
from jaxtyping import Float64


def squared_distances(
    points: Float64[np.ndarray, "n p"], others: Float64[np.ndarray, "m p"]
) -> Float64[np.ndarray, "n m"]:
    """Return the squared Euclidean distance of each of n points to each of m others."""
    squares = np.zeros((len(points), len(others)))
    for ours, theirs in zip(points.T, others.T, strict=True):
        squares += (ours[:, None] - theirs[None, :]) ** 2
    return squares
