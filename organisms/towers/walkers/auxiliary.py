"""Auxiliary features: what an inception is told of a walk beside the opinions themselves. The definitions are ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional as F

LEARNED_WIDTH = 8


@dataclass(frozen=True, slots=True)
class Auxiliary:
    """Features of a walk from a to b.

    Parameters
    ----------
    width
        From the number of stops to K, the number of features.
    features
        From a, b [..., D] and a function that computes the path [S, ..., D] to features [..., K]; of `learned`, which
        an inception projects to K, [..., D].
    """

    width: Callable[[int], int]
    features: Callable[[Tensor, Tensor, Callable[[], Tensor]], Tensor]


def cosine(a: Float[Tensor, "*batch D"], b: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch 1"]:
    """Return the cosine of the angle between a and b; 0 where one is zero."""
    return F.cosine_similarity(a, b, dim=-1).unsqueeze(-1)


def geometric(a: Float[Tensor, "*batch D"], b: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch 3"]:
    """Return the cosine, |b - a| / (|a| + |b|) in [0, 1], and (|b| - |a|) / (|a| + |b|) in [-1, 1]; 0 for zeros."""
    first, second = (vector_norm(each, dim=-1) for each in (a, b))
    whole = (first + second).clamp(min=torch.finfo(a.dtype).tiny)
    shares = torch.stack([vector_norm(b - a, dim=-1) / whole, (second - first) / whole], -1)
    return torch.cat([cosine(a, b), shares], -1)


def step_lengths(path: Float[Tensor, "S *batch D"]) -> Float[Tensor, "*batch K"]:
    """Return the lengths of the S - 1 steps of a path as shares of its length; 0 where it stays in place."""
    lengths = vector_norm(path.diff(dim=0), dim=-1).movedim(0, -1)
    return lengths / lengths.sum(-1, keepdim=True).clamp(min=torch.finfo(path.dtype).tiny)


AUXILIARIES: Mapping[str, Auxiliary] = MappingProxyType(
    {
        "cosine": Auxiliary(lambda steps: 1, lambda a, b, path: cosine(a, b)),
        "geometric": Auxiliary(lambda steps: 3, lambda a, b, path: geometric(a, b)),
        "learned": Auxiliary(lambda steps: LEARNED_WIDTH, lambda a, b, path: b - a),
        "walker_path": Auxiliary(lambda steps: steps - 1, lambda a, b, path: step_lengths(path())),
    }
)
