"""Measures that mean nothing: five random directions in the space of a part's matrices, to compare measures with.

``value = sum_m <R_m, W_m> / sqrt(sum_m |W_m|^2)`` over the matrices of a part, dense ones and products ``U_m V_m`` of
those that it holds as factors, with entries of R_m drawn from the standard normal distribution once and for all, by the
name and shape of the matrix.
Whatever a space of such measures does for the search, it does without knowing what parts do.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from qd.seeding import generator

Measure = Callable[[Any, Any, Any], list[float]]


def projection(number: int) -> Measure:
    """Return the measure of a direction, as `measures` takes one by import path.

    It is given an organism, inputs and targets, of which it looks at the matrices of the living parts alone.
    """

    def measure(organism: Any, inputs: Any, targets: Any) -> list[float]:
        return [projected(organism.pool.genome(slot).arrays, number) for slot, _ in organism.pool.alive()]

    return measure


def projected(arrays: dict[str, np.ndarray], number: int) -> float:
    """Return the projection of a genome's matrices on a direction; 0 where all of them are 0."""
    along, size = 0.0, 0.0
    for name, array in sorted(arrays.items()):
        if name.endswith(".V") or array.ndim < 2:
            continue
        matrix, name = np.asarray(array, np.float64), name.removesuffix(".U")
        if name not in arrays:
            matrix = matrix @ np.asarray(arrays[f"{name}.V"], np.float64)
        along += float(np.sum(_direction(number, name, matrix.shape) * matrix))
        size += float(np.sum(matrix * matrix))
    return along / float(np.sqrt(size)) if size > 0.0 else 0.0


@cache
def _direction(number: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    return generator(0, number, f"projection of {name} {shape}").normal(size=shape)


projection_1, projection_2, projection_3, projection_4, projection_5 = map(projection, range(1, 6))
