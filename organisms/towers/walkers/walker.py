"""A walker: a blend, a schedule and an aggregation, without parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from kernels import arguments
from organisms.towers.walkers.blends import BLENDS, Blend
from organisms.towers.walkers.readings import READINGS, Reading
from organisms.towers.walkers.schedules import SCHEDULES, Schedule, stops_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ConfigurableWalker:
    """Walks from a to b: aggregation(blend(a, b, t_s) for the stops t_s of the schedule).

    Parameters
    ----------
    blend
        A name in `BLENDS`, or a function of a, b and t.
    schedule
        A name in `SCHEDULES`, or a function from the number of stops to stops that rise from 0 to 1.
    aggregation
        A name in `READINGS`, or a function from a path [S, ..., D] to [..., D].
    num_steps
        S, the number of stops, from 2 on.
    stops
        The stops t_s, from 0 to 1, as the schedule has them.

    Raises
    ------
    ValueError
        If there is no such name or number, or the schedule does not rise from 0 to 1.
    """

    blend: str | Blend = "lerp"
    schedule: str | Schedule = "linear"
    aggregation: str | Reading = "mean"
    num_steps: int = 8
    stops: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.num_steps, int) or self.num_steps < 2:
            raise ValueError(
                f"num_steps must be a whole number of stops from 2 on, but is {self.num_steps!r}"
            )
        _named("blend", self.blend, BLENDS)
        _named("aggregation", self.aggregation, READINGS)
        found = stops_of(_named("schedule", self.schedule, SCHEDULES), self.num_steps)
        object.__setattr__(self, "stops", found)

    def path(
        self,
        a: Float[Tensor, "*batch D"],
        b: Float[Tensor, "*batch D"],
        t: Float[Tensor, " S *any"] | None = None,
    ) -> Float[Tensor, "S *batch D"]:
        """Return the points at which it stops.

        Parameters
        ----------
        a, b
            Where it begins and ends, [..., D].
        t
            Other stops than those of the schedule, [S, ..., 1].
        """
        if t is None:
            t = torch.tensor(self.stops, dtype=a.dtype, device=a.device).view(-1, *[1] * a.ndim)
        return _named("blend", self.blend, BLENDS)(a, b, t)

    def read(self, path: Float[Tensor, "S *batch D"]) -> Float[Tensor, "*batch D"]:
        """Return what it brings back of a path."""
        return _named("aggregation", self.aggregation, READINGS)(path)

    def __call__(
        self, a: Float[Tensor, "*batch D"], b: Float[Tensor, "*batch D"]
    ) -> Float[Tensor, "*batch D"]:
        """Return what it brings back of the path from a to b."""
        return self.read(self.path(a, b))


def _named(option: str, value: str | T, table: Mapping[str, T]) -> T:
    if not isinstance(value, str):
        return value
    arguments.one_of(option, value, tuple(table))
    return table[value]


# Blend, schedule and aggregation by the names of the documents, which do not say what they are composed of.
PRESETS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "lerp": ("lerp", "linear", "mean"),
        "slerp": ("slerp", "linear", "mean"),
        "slip": ("slip", "cosine", "mean"),
        "shiva": ("shiva", "cosine", "mean"),
        "zeus": ("zeus", "linear", "energy"),
        "gilgamesh": ("gilgamesh", "cosine", "mean"),
    }
)


def preset_walker(preset: str, num_steps: int = 8) -> ConfigurableWalker:
    """Return the walker of a preset.

    Raises
    ------
    ValueError
        If there is no such preset, or number of stops.
    """
    arguments.one_of("preset", preset, tuple(PRESETS))
    return ConfigurableWalker(*PRESETS[preset], num_steps=num_steps)
