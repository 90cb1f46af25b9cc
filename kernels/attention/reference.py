"""Attention by its definition: the whole matrix of weights, then everything that is asked of it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def attention_weights(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    scale: Float[Tensor, " H"],
    mask: Bool[Tensor, "#H S S"],
) -> Float[Tensor, "B H S S"]:
    """Weights p = softmax(scale q k^T) over the keys that `mask` lets a query see.

    A query that sees no key at all has zero weights, not NaN.
    """
    scores = (q * scale[:, None, None]) @ k.transpose(-1, -2)
    weights = torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=-1)
    return weights if bool(mask.any(-1).all()) else weights.nan_to_num(0.0)


def attention(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    scale: Float[Tensor, " H"],
    mask: Bool[Tensor, "#H S S"],
) -> Float[Tensor, "B H S W"]:
    """Mix the values of the visible positions by their attention weights."""
    return attention_weights(q, k, scale, mask) @ v
