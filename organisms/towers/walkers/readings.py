"""Aggregations: what a walker brings back of the points on its path."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

Reading: TypeAlias = Callable[[Tensor], Tensor]


def mean(path: Float[Tensor, "S *batch D"]) -> Float[Tensor, "*batch D"]:
    """Return the mean of all points."""
    return path.mean(0)


def last(path: Float[Tensor, "S *batch D"]) -> Float[Tensor, "*batch D"]:
    """Return where the path ends."""
    return path[-1]


def energy(path: Float[Tensor, "S *batch D"]) -> Float[Tensor, "*batch D"]:
    """Return sum_s w_s p_s with w = softmax_s(mean of p_s^2): points of large numbers count more.

    The definition is ours.
    """
    weights = path.square().mean(-1).softmax(0)
    return torch.einsum("s...d,s...->...d", path, weights)


READINGS: Mapping[str, Reading] = MappingProxyType({each.__name__: each for each in (mean, last, energy)})
