"""A component among the others: quantities that are defined relative to a neighbourhood.

A `SpatialContext` is items in a space with one of them in focus. `extract`, `extend` and `duplicate`
make it a comonad: a function from a context to a value says what one item is among the others, and
`extend` asks it of every item in turn.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from qd.distances import squared_distances

T = TypeVar("T")
R = TypeVar("R")

SMALLEST_STD = 0.05  # of living fitness: below it differences among neighbours are noise
NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class SpatialContext(Generic[T]):
    """Items in a space, one of them in focus.

    Laws: ``w.extend(SpatialContext.extract) == w``; ``w.extend(f).extract() == f(w)``;
    ``w.extend(f).extend(g) == w.extend(lambda v: g(v.extend(f)))``.

    Parameters
    ----------
    items
        What is there, one value per position.
    focus
        Position of the item in focus.
    distance
        Distance between two *positions*.

    Raises
    ------
    ValueError
        If `focus` is no position.

    Source: Slime Mold Transformer blueprint, decision 8; Uustalu & Vene 2008, "Comonadic notions of
    computation".
    Differs from the source: distance is between positions, not between items, so that `extend` keeps
    the geometry whatever it makes of the items; without that the third law cannot hold.
    """

    items: tuple[T, ...]
    focus: int
    distance: Callable[[int, int], float]

    def __post_init__(self) -> None:
        if not 0 <= self.focus < len(self.items):
            raise ValueError(f"focus must be a position in 0..{len(self.items) - 1}, got {self.focus}")

    def extract(self) -> T:
        """Return the item in focus."""
        return self.items[self.focus]

    def extend(self, function: "Callable[[SpatialContext[T]], R]") -> "SpatialContext[R]":
        """Replace each item by the value of the function at the context with that item in focus."""
        shifted = (SpatialContext(self.items, position, self.distance) for position in range(len(self.items)))
        return SpatialContext(tuple(function(context) for context in shifted), self.focus, self.distance)

    def duplicate(self) -> "SpatialContext[SpatialContext[T]]":
        """Replace each item by the context with that item in focus."""
        return self.extend(lambda context: context)

    def k_nearest(self, k: int) -> tuple[T, ...]:
        """Return the `k` items nearest to the one in focus, without it, nearest first, ties by position.

        All others where there are fewer than `k`.

        Raises
        ------
        ValueError
            If `k` is negative.
        """
        if k < 0:
            raise ValueError(f"k must be 0 or more, got {k}")
        others = (position for position in range(len(self.items)) if position != self.focus)
        nearest = sorted(others, key=lambda position: self.distance(self.focus, position))
        return tuple(self.items[position] for position in nearest[:k])


def around(items: Sequence[T], focus: int, behaviours: ArrayLike) -> SpatialContext[T]:
    """Return items as a context in behaviour space, with Euclidean distance.

    Parameters
    ----------
    items
        What is there, n values.
    focus
        Position of the item in focus, in 0..n-1.
    behaviours
        Where they are [n, measures], in the unit cube.

    Raises
    ------
    ValueError
        If there is not one finite behaviour per item, or `focus` is no position.
    """
    distances = _distances(behaviours, len(items)).tolist()
    return SpatialContext(tuple(items), focus, lambda first, second: distances[first][second])


def relative_fitness(context: SpatialContext[T], fitness: Callable[[T], float], k: int = NEIGHBOURS) -> float:
    """Return the z-score of the fitness in focus among its neighbours.

    ``z = (own - mean of the k nearest) / max(their standard deviation, 0.05)``; 0 without neighbours.

    Parameters
    ----------
    context
        The component among the others.
    fitness
        Living fitness of an item, as a share of the organism's.
    k
        How many neighbours, 0 or more.
    """
    others = [fitness(item) for item in context.k_nearest(k)]
    if not others:
        return 0.0
    mean = math.fsum(others) / len(others)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in others) / len(others))
    return (fitness(context.extract()) - mean) / max(std, SMALLEST_STD)


def relative_fitness_all(
    behaviours: ArrayLike, fitness: ArrayLike, k: int = NEIGHBOURS
) -> Float64[np.ndarray, " n"]:
    """Return `relative_fitness` of every component of an organism at once.

    Parameters
    ----------
    behaviours
        Where they are [n, measures], in the unit cube.
    fitness
        Living fitness [n], as a share of the organism's.
    k
        How many neighbours, 0 or more; all others where there are fewer.

    Raises
    ------
    ValueError
        If there is not one finite behaviour per fitness, or `k` is negative.
    """
    own = np.asarray(fitness, dtype=np.float64)
    if k < 0:
        raise ValueError(f"k must be 0 or more, got {k}")
    distances = _distances(behaviours, len(own))
    count = min(k, len(own) - 1)
    if count < 1:
        return np.zeros(len(own))
    np.fill_diagonal(distances, np.inf)
    others = own[np.argsort(distances, axis=1, kind="stable")[:, :count]]
    return (own - others.mean(axis=1)) / np.maximum(others.std(axis=1), SMALLEST_STD)


def behavioural_divergence(
    context: SpatialContext[T], behaviour: Callable[[T], ArrayLike], k: int = NEIGHBOURS
) -> Float64[np.ndarray, " measures"]:
    """Return the behaviour in focus minus the mean behaviour of its k nearest; 0 without neighbours.

    Parameters
    ----------
    context
        The component among the others.
    behaviour
        Behaviour [measures] of an item, in the unit cube.
    k
        How many neighbours, 0 or more.
    """
    own = np.asarray(behaviour(context.extract()), dtype=np.float64)
    others = [np.asarray(behaviour(item), dtype=np.float64) for item in context.k_nearest(k)]
    return own - np.mean(others, axis=0) if others else np.zeros_like(own)


def gradient_rank(context: SpatialContext[T], gradient: Callable[[T], float], k: int = NEIGHBOURS) -> float:
    """Return the percentile rank, in [0, 1], of the gradient in focus among its k nearest.

    ``(number below + half the number equal) / k``; 0.5 without neighbours.

    Parameters
    ----------
    context
        The component among the others.
    gradient
        Size of an item's gate gradient.
    k
        How many neighbours, 0 or more.
    """
    own, others = gradient(context.extract()), [gradient(item) for item in context.k_nearest(k)]
    if not others:
        return 0.5
    return sum((other < own) + 0.5 * (other == own) for other in others) / len(others)


def coherence(context: SpatialContext[T], pattern: Callable[[T], ArrayLike], k: int = NEIGHBOURS) -> float:
    """Return the mean cosine, in [-1, 1], between the attention pattern in focus and those of its k nearest.

    0 without neighbours; a pattern of zeros has cosine 0 with any.

    Parameters
    ----------
    context
        The component among the others.
    pattern
        Attention pattern of an item, an array of one shape for all.
    k
        How many neighbours, 0 or more.
    """
    own = _unit(pattern(context.extract()))
    cosines = [float((own * _unit(pattern(item))).sum()) for item in context.k_nearest(k)]
    return min(max(math.fsum(cosines) / len(cosines), -1.0), 1.0) if cosines else 0.0


def _unit(pattern: ArrayLike) -> Float64[np.ndarray, "..."]:
    array = np.asarray(pattern, dtype=np.float64)
    length = math.sqrt(float((array**2).sum()))
    return array / length if length > 0 else array


def _distances(behaviours: ArrayLike, n: int) -> Float64[np.ndarray, "n n"]:
    points = np.asarray(behaviours, dtype=np.float64)
    if points.ndim != 2 or len(points) != n or not np.isfinite(points).all():
        raise ValueError(
            f"behaviours must be finite and [{n}, measures], one row per item, got {points.tolist()}"
        )
    return np.sqrt(squared_distances(points, points))
