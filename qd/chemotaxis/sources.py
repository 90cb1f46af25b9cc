"""Chemotaxis among sources: what lies at a place attracts, less what the way there costs.

Differs from the source (Slime Mold Transformer blueprint, core/chemotaxis), which names the three functions alone: the
equations are ours. That an eaten place is left for the next one follows Charnov 1976, "Optimal foraging, the marginal
value theorem".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from qd.chemotaxis.softmax import softmax
from qd.distances import squared_distances
from qd.elementary import exp_each

REACH = 0.1  # of a scent, as a share of the diagonal of the behaviour space: there it is weaker by e

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source(Generic[T]):
    """Something that attracts: what it is, where, and how strongly."""

    nutrient: T | None  # None: a scent, which makes the nutrients around it more attractive
    location: tuple[float, ...]  # in the unit cube
    concentration: float  # in units of the objective


class Chemotaxis(Generic[T]):
    """Sources in behaviour space, of which seekers choose by what there is, how far away, and how hungry they are.

    Distances d are Euclidean, as shares of the diagonal of the unit cube. A nutrient i attracts a seeker that is d_i
    away from it by

        a_i = c_i + sum_s c_s exp(-d_is / 0.1) - metabolic_rate (1 - hunger) d_i,    p_i ~ exp(a_i / tau)

    with the sum over all scents s. So who costs much stays near, and to the hungry no way is too far.

    Parameters
    ----------
    tau
        In units of concentration, above 0; a small one nearly always takes the most attractive.
    """

    def __init__(self, tau: float) -> None:
        self.tau = tau
        self.sources: list[Source[T]] = []

    def add_source(self, nutrient: T | None, location: Sequence[float], concentration: float) -> None:
        """Add a source.

        Parameters
        ----------
        nutrient
            What is there; None: nothing that can be taken, but a scent that makes what is near more attractive.
        location
            In the unit cube, of as many measures as that of the other sources.
        concentration
            How much of it there is, in units of the objective, 0 or more.

        Raises
        ------
        ValueError
            If the location is no point of that cube, or the concentration is negative or not finite.
        """
        place = tuple(float(value) for value in location)
        measures = len(self.sources[0].location) if self.sources else len(place)
        if not (0 < len(place) == measures and all(0 <= value <= 1 for value in place)):
            raise ValueError(f"location must be {measures or 'some'} numbers in [0, 1], got {place}")
        if not 0 <= concentration < math.inf:
            raise ValueError(f"concentration must be finite and 0 or more, got {concentration}")
        self.sources.append(Source(nutrient, place, float(concentration)))

    def clear(self) -> None:
        """Forget all sources."""
        self.sources = []

    @property
    def nutrients(self) -> list[T]:
        """What can be taken, in the order in which it was added."""
        return [source.nutrient for source in self.sources if source.nutrient is not None]

    def probabilities(
        self, behavior: ArrayLike | None, metabolic_rate: float, hunger: float
    ) -> Float64[np.ndarray, " n"]:
        """Return the probability of each nutrient, in the order in which they were added.

        Parameters
        ----------
        behavior
            Where the seeker is: a point of the unit cube or several, of which the nearest counts; None: nowhere, so
            that all ways are equally long.
        metabolic_rate
            What a way costs the seeker, in [0, 1]: its counted cost as a share of the largest.
        hunger
            In [0, 1]; the hungry do not mind the way.

        Raises
        ------
        ValueError
            If rate or hunger is no share, the behaviour is none among the sources, or tau is not above 0.
        """
        for name, share in (("metabolic_rate", metabolic_rate), ("hunger", hunger)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {share}")
        food = [source for source in self.sources if source.nutrient is not None]
        scents = [source for source in self.sources if source.nutrient is None]
        pull = np.array([source.concentration for source in food], dtype=np.float64)
        if food and scents:
            smelt = exp_each(-_distances(food, [source.location for source in scents]) / REACH)
            for column, source in zip(smelt.T, scents, strict=True):
                pull += source.concentration * column
        if food and behavior is not None:
            way = _distances(food, behavior)
            if way.shape[1]:
                pull -= metabolic_rate * (1 - hunger) * way.min(axis=1)
        return softmax(pull, self.tau)

    def sample(
        self,
        behavior: ArrayLike | None,
        metabolic_rate: float,
        hunger: float,
        rng: np.random.Generator,
    ) -> T | None:
        """Draw a nutrient; None where there is none.

        Parameters
        ----------
        behavior, metabolic_rate, hunger
            As in `probabilities`.
        rng
            A named stream (`qd.seeding.generator`); one uniform number of it is taken.

        Raises
        ------
        ValueError
            As in `probabilities`.
        """
        cumulative = np.cumsum(self.probabilities(behavior, metabolic_rate, hunger))
        if not len(cumulative):
            return None
        return self.nutrients[int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))]


def exhausted(concentration: float, tries: int, patience: int) -> float:
    """Return what is left at a place after births have tried it: ``c / (1 + tries / patience)``.

    Parameters
    ----------
    concentration
        At first.
    tries
        Candidates of births that were made of what is there since it last improved.
    patience
        Tries after which half is left, 1 or more.
    """
    return concentration / (1 + tries / patience)


def metabolic_rate(flops: Sequence[float], largest: float) -> float:
    """Return what an organism costs, in [0, 1]: the mean of its components' counted FLOPs over the largest.

    Parameters
    ----------
    flops
        Of each component, per example, forward; of none the rate is 0.
    largest
        Of the costliest component that the genes allow.
    """
    return min(math.fsum(flops) / len(flops) / largest, 1.0) if flops else 0.0


def _distances(sources: Sequence[Source[T]], points: ArrayLike) -> Float64[np.ndarray, "n m"]:
    """Return the distance of each source to each point as a share of the diagonal."""
    places = np.array([source.location for source in sources], dtype=np.float64)
    others = np.atleast_2d(np.asarray(points, dtype=np.float64))
    if others.size == 0:
        return np.zeros((len(places), 0))
    if others.ndim != 2 or others.shape[1] != places.shape[1] or not np.isfinite(others).all():
        raise ValueError(
            f"behavior must be points of {places.shape[1]} finite numbers, got {others.tolist()}"
        )
    return np.sqrt(squared_distances(places, others) / places.shape[1])
