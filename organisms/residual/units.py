"""The units of a component along each of its axes: added, taken away, and matched to those of another component.

Units of one axis are rows of several arrays. Some of these have to be zero for a new unit to change nothing: what it
hears of the stream, or what it says to it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from qd.records import Genes, Genome

Place = tuple[str, int]  # an array, and the axis of it along which the units lie
Arrays = Mapping[str, np.ndarray]
Draw = Callable[[str, tuple[int, ...]], np.ndarray]  # an array of this name and shape
PASSES = 8  # at most so often are all axes matched one after the other


@dataclass(frozen=True, slots=True)
class Axis:
    """Where the units of an axis lie, and how many there are."""

    size: tuple[str, ...]  # the genes whose product it is
    drawn: tuple[Place, ...]  # what is drawn for a new unit
    silent: tuple[Place, ...]  # what is zero for a new unit, so that it changes nothing
    free: bool = True  # whether the units may change places
    stagewise: bool = False  # whether each stage has units of its own
    ends: tuple[Place, ...] = ()  # those by which a unit is known whatever the order of all other units

    @property
    def places(self) -> tuple[Place, ...]:
        """All of them."""
        return self.drawn + self.silent

    def known(self, arrays: Arrays) -> "Axis":
        """Return the axis without the arrays that a component of these options has not."""
        drawn, silent, ends = (
            tuple(place for place in places if place[0] in arrays)
            for places in (self.drawn, self.silent, self.ends)
        )
        return replace(self, drawn=drawn, silent=silent, ends=ends)


Axes = Mapping[str, Axis]


def hidden_axes(axes: Axes, names: Sequence[str]) -> dict[str, tuple[Place, ...]]:
    """Return the axes of interchangeable units of components that have these arrays."""
    known = {name: axis.known(dict.fromkeys(names, np.empty(0))) for name, axis in axes.items()}
    return {name: axis.places for name, axis in known.items() if axis.free and axis.places}


def fitted(genome: Genome, genes: Genes, axes: Axes, draw: Draw) -> Genome:
    """Return a component of the sizes that these genes say; its function stays but for what is taken away.

    Taken away are the units of the smallest products of the norms of what leads to them and what they lead to.

    Parameters
    ----------
    genome
        The component; its own genes stay as they are.
    genes
        Structural genes to fit it to.
    axes
        Its axes, in the order in which they are fitted.
    draw
        Draws what is added.
    """
    arrays, values = dict(genome.arrays), dict(genes)
    for axis in axes.values():
        axis = axis.known(arrays)
        if not axis.places:
            continue
        size = int(np.prod([values[name] for name in axis.size]))
        name, at = axis.places[0]
        extra = size - arrays[name].shape[at]
        if extra > 0:
            arrays |= _grown(arrays, axis, extra, draw)
        elif extra < 0:
            arrays |= _ordered(arrays, axis, [_strongest(part, axis, size) for part in _parts(arrays, axis)])
    return replace(genome, arrays=arrays)


def aligned(genome: Genome, like: Genome, axes: Axes) -> Genome:
    """Permute the units of a component to match another of the same sizes; its function stays.

    Each axis in turn takes the permutation of the least sum of squared differences, until none changes any more: weight
    matching (Ainsworth et al. 2023, Git Re-Basin). Units that are known by their ends come first, by these alone, and
    last in each pass.

    Parameters
    ----------
    genome
        The component.
    like
        The one to match.
    axes
        Its axes, those with ends first.
    """
    free = [axis.known(genome.arrays) for axis in axes.values() if axis.free]
    free = [axis for axis in free if axis.places]
    arrays = dict(genome.arrays)
    for axis in free:
        if axis.ends:
            arrays |= _ordered(arrays, axis, [_match(arrays, like.arrays, axis.ends)])
    for _ in range(PASSES):
        before = dict(arrays)
        for axis in reversed(free):
            pairs = zip(_parts(arrays, axis), _parts(like.arrays, axis), strict=True)
            arrays |= _ordered(arrays, axis, [_match(*pair, axis.places) for pair in pairs])
        if all(np.array_equal(before[name], arrays[name]) for name in arrays):
            break
    return replace(genome, arrays=arrays)


def _parts(arrays: Arrays, axis: Axis) -> list[Arrays]:
    """Return the arrays of an axis; where each stage has units of its own, of each stage, its axis kept."""
    if not axis.stagewise:
        return [arrays]
    stages = len(arrays[axis.places[0][0]])
    return [{name: arrays[name][stage : stage + 1] for name, _ in axis.places} for stage in range(stages)]


def _ordered(arrays: Arrays, axis: Axis, orders: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of an axis with the units of each part in its order."""
    parts = _parts(arrays, axis)
    return {
        name: np.concatenate([part[name].take(order, at) for part, order in zip(parts, orders, strict=True)])
        for name, at in axis.places
    }


def _grown(arrays: Arrays, axis: Axis, extra: int, draw: Draw) -> dict[str, np.ndarray]:
    grown = {}
    for name, at in axis.places:
        shape = tuple(extra if place == at else size for place, size in enumerate(arrays[name].shape))
        fresh = draw(name, shape)
        added = np.zeros_like(fresh) if (name, at) in axis.silent else fresh
        grown[name] = np.concatenate([arrays[name], added], axis=at)
    return grown


def _strongest(arrays: Arrays, axis: Axis, kept: int) -> np.ndarray:
    """Return so many units in their order: those of the largest product of norms of both sides."""
    one, other = (np.linalg.norm(_rows(arrays, places), axis=1) for places in (axis.drawn, axis.silent))
    return np.sort(np.argsort(-(one * other), kind="stable")[:kept])


def _match(arrays: Arrays, others: Arrays, places: Sequence[Place]) -> np.ndarray:
    """Return the order of the units of `arrays` in which they are nearest to the others'."""
    similarity = _rows(arrays, places) @ _rows(others, places).T
    units, order = linear_sum_assignment(similarity, maximize=True)
    return units[np.argsort(order)]


def _rows(arrays: Arrays, places: Sequence[Place]) -> np.ndarray:
    """Return all that belongs to each unit as a row, float64."""
    parts = (np.moveaxis(arrays[name].astype(np.float64), at, 0) for name, at in places)
    return np.hstack([part.reshape(len(part), -1) for part in parts])
