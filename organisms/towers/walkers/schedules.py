"""Schedules: at which shares of the way a walker stops."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

Schedule: TypeAlias = Callable[[int], Tensor]


def linear(steps: int) -> Float[Tensor, " S"]:
    """Return s / (S - 1) for s = 0 to S - 1: even steps."""
    return torch.linspace(0, 1, steps, dtype=torch.float64)


def cosine(steps: int) -> Float[Tensor, " S"]:
    """Return (1 - cos(pi s / (S - 1))) / 2: small steps at both ends."""
    return (torch.pi * linear(steps) / 2).sin().square()


def quadratic(steps: int) -> Float[Tensor, " S"]:
    """Return (s / (S - 1))^2: small steps at the beginning, so that the way stays near a for longer."""
    return linear(steps).square()


SCHEDULES: Mapping[str, Schedule] = MappingProxyType(
    {each.__name__: each for each in (linear, cosine, quadratic)}
)


def stops_of(schedule: Schedule, steps: int) -> tuple[float, ...]:
    """Return the stops of a schedule.

    Raises
    ------
    ValueError
        If they are not `steps` numbers that rise from 0 to 1 and never fall.
    """
    found = tuple(torch.as_tensor(schedule(steps)).double().flatten().tolist())
    rises = len(found) == steps and all(x <= y for x, y in pairwise(found))
    if not rises or (found[0], found[-1]) != (0, 1):
        raise ValueError(
            f"a schedule must rise from 0 to 1 in num_steps = {steps} stops and never fall, but its stops are "
            f"{list(found)[:8]}"
        )
    return found
