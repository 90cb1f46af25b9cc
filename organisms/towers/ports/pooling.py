"""One vector for an input from those of its tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a model makes of a batch of inputs."""

    hidden: Float[Tensor, "B T D"]
    """The encodings of all tokens."""
    counts: Bool[Tensor, "B T"]
    """Which of them are pooled: no padding, and of images the patches alone; at least one of each input."""
    projection: Float[Tensor, "B E"] | None = None
    """The model's own summary of each input, if it has one."""


def pooled(encoded: Encoded, pool: str | None) -> Float[Tensor, "B ..."]:
    """Return what a pool makes of encodings; None: all of them, as they are."""
    return encoded.hidden if pool is None else POOLS[pool](encoded)


def first(encoded: Encoded) -> Float[Tensor, "B D"]:
    """Return the encoding of the first token: in a vision transformer that of the class."""
    return encoded.hidden[:, 0]


def last(encoded: Encoded) -> Float[Tensor, "B D"]:
    """Return the encoding of the last token that counts, which in a causal model has seen all others."""
    places = torch.arange(encoded.counts.shape[1], device=encoded.counts.device)
    at = (places * encoded.counts).argmax(dim=1)
    return encoded.hidden[torch.arange(len(at), device=at.device), at]


def mean(encoded: Encoded) -> Float[Tensor, "B D"]:
    """Return the mean over the tokens that count."""
    counts = encoded.counts.to(encoded.hidden.dtype)
    weights = counts / counts.sum(dim=1, keepdim=True)  # before the sum, which half precision could not hold
    return (encoded.hidden.masked_fill(~encoded.counts[..., None], 0) * weights[..., None]).sum(dim=1)


def maximum(encoded: Encoded) -> Float[Tensor, "B D"]:
    """Return the largest value of each feature over the tokens that count."""
    return encoded.hidden.masked_fill(~encoded.counts[..., None], -torch.inf).amax(dim=1)


def projection(encoded: Encoded) -> Float[Tensor, "B E"]:
    """Return the model's own summary, of a model that has one."""
    assert encoded.projection is not None
    return encoded.projection


POOLS: Mapping[str, Callable[[Encoded], Tensor]] = MappingProxyType(
    {"cls": first, "last": last, "mean": mean, "max": maximum, "projection": projection}
)
