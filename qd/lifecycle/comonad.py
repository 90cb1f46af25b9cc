"""A component among the others: quantities that are defined relative to a neighbourhood.

A `SpatialContext` is items in a space with one of them in focus. `extract`, `extend` and `duplicate` make it a comonad:
a function from a context to a value says what one item is among the others, and `extend` asks it of every item in turn.
An `Extractor` is such a function that can also answer for all items at once.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike

from qd.distances import squared_distances

T = TypeVar("T")
R = TypeVar("R")

SMALLEST_STD = 0.05  # of living fitness: below it differences among neighbours are noise
NEIGHBOURS = 5


@runtime_checkable
class Extractor(Protocol[T]):
    """What one item is among the others, as a number; for all items at once it is the same, but faster."""

    def __call__(self, context: "SpatialContext[T]") -> float:
        """Return it for the item in focus: the definition."""

    def everywhere(self, context: "SpatialContext[T]") -> list[float]:
        """Return it for each item."""


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
    places
        Where each position is, coordinates of one number for all; without any, all are equally near.

    Raises
    ------
    ValueError
        If `focus` is no position, or there is not one finite place per item.

    Source: Slime Mold Transformer blueprint, decision 8; Uustalu & Vene 2008, "Comonadic notions of
    computation".
    Differs from the source: places are those of *positions*, not of items, so that `extend` keeps the geometry whatever
    it makes of the items; without that the third law cannot hold.
    """

    items: tuple[T, ...]
    focus: int
    places: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if not 0 <= self.focus < len(self.items):
            raise ValueError(f"focus must be a position in 0..{len(self.items) - 1}, got {self.focus}")
        sizes = {len(place) for place in self.places}
        finite = all(math.isfinite(value) for place in self.places for value in place)
        if len(self.places) != len(self.items) or len(sizes) != 1 or not finite:
            raise ValueError(
                f"places must be finite and one for each of {len(self.items)} items, with as many coordinates each, "
                f"got {self.places}"
            )

    def extract(self) -> T:
        """Return the item in focus."""
        return self.items[self.focus]

    def extend(self, function: "Callable[[SpatialContext[T]], R]") -> "SpatialContext[R]":
        """Replace each item by the value of the function at the context with that item in focus.

        An `Extractor` answers for all of them at once.
        """
        if isinstance(function, Extractor):
            values: Any = tuple(function.everywhere(self))
            return SpatialContext(values, self.focus, self.places)
        shifted = (SpatialContext(self.items, position, self.places) for position in range(len(self.items)))
        return SpatialContext(tuple(function(context) for context in shifted), self.focus, self.places)

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
        return tuple(self.items[position] for position in self.neighbours(k)[self.focus].tolist())

    def neighbours(self, k: int) -> Int64[np.ndarray, "n k"]:
        """Return the positions of the `k` nearest others of every position, as `k_nearest` has them."""
        if k < 0:
            raise ValueError(f"k must be 0 or more, got {k}")
        points = np.array(self.places, dtype=np.float64).reshape(len(self.items), -1)
        distances = np.sqrt(squared_distances(points, points))
        np.fill_diagonal(distances, np.inf)
        return np.argsort(distances, axis=1, kind="stable")[:, : min(k, len(self.items) - 1)]


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
    places = tuple(tuple(row) for row in np.asarray(behaviours, dtype=np.float64).tolist())
    return SpatialContext(tuple(items), focus, places)


def together(items: Sequence[T], focus: int = 0) -> SpatialContext[T]:
    """Return items as a context in which all are equally near.

    Parameters
    ----------
    items
        What is there.
    focus
        Position of the item in focus.
    """
    return SpatialContext(tuple(items), focus, ((),) * len(items))


@dataclass(frozen=True, slots=True)
class RelativeFitness(Generic[T]):
    """The z-score of an item's fitness among its k nearest neighbours, by which components die.

    ``z = (own - mean of the k nearest) / max(their standard deviation, 0.05)``; 0 without neighbours.
    """

    fitness: Callable[[T], float]  # of an item, as a share of the organism's
    k: int = NEIGHBOURS

    def __call__(self, context: SpatialContext[T]) -> float:
        """Return it for the item in focus."""
        others = [self.fitness(item) for item in context.k_nearest(self.k)]
        if not others:
            return 0.0
        mean = math.fsum(others) / len(others)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in others) / len(others))
        return (self.fitness(context.extract()) - mean) / max(std, SMALLEST_STD)

    def everywhere(self, context: SpatialContext[T]) -> list[float]:
        """Return it for each item."""
        own = np.array([self.fitness(item) for item in context.items], dtype=np.float64)
        nearest = context.neighbours(self.k)
        if not nearest.shape[1]:
            return [0.0] * len(own)
        others = own[nearest]
        z: Float64[np.ndarray, " n"] = (own - others.mean(axis=1)) / np.maximum(
            others.std(axis=1), SMALLEST_STD
        )
        return z.tolist()


@dataclass(frozen=True, slots=True)
class Coherence(Generic[T]):
    """The mean cosine, in [-1, 1], between an item's pattern and those of its k nearest neighbours.

    0 without neighbours; a pattern of zeros has cosine 0 with any.
    """

    pattern: Callable[[T], ArrayLike]  # of an item, an array of one shape for all
    k: int = NEIGHBOURS

    def __call__(self, context: SpatialContext[T]) -> float:
        """Return it for the item in focus."""
        own = _unit(self.pattern(context.extract()))
        cosines = [float(own @ _unit(self.pattern(item))) for item in context.k_nearest(self.k)]
        return min(max(math.fsum(cosines) / len(cosines), -1.0), 1.0) if cosines else 0.0

    def everywhere(self, context: SpatialContext[T]) -> list[float]:
        """Return it for each item."""
        nearest = context.neighbours(self.k)
        if not nearest.shape[1]:
            return [0.0] * len(context.items)
        units = np.stack([_unit(self.pattern(item)) for item in context.items])
        cosines = np.take_along_axis(units @ units.T, nearest, axis=1)
        found: list[float] = cosines.mean(axis=1).clip(-1.0, 1.0).tolist()
        return found


def _unit(pattern: ArrayLike) -> Float64[np.ndarray, " n"]:
    array = np.asarray(pattern, dtype=np.float64).ravel()
    length = math.sqrt(float((array**2).sum()))
    return array / length if length > 0 else array
