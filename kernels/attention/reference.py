"""Attention by its definition: the whole matrix of weights, then everything that is asked of it.

Half-precision inputs are widened to float32 first, as on the other paths. Autograd differentiates all of it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kernels.attention.visibility import Sight


def forward(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    sight: Sight,
    statistics: bool,
) -> tuple[Float[Tensor, "B H S W"], Float[Tensor, "B H S"], Float[Tensor, "5 B H S"] | None]:
    """Give the output, the log-sum-exp and, when asked, the statistics of every query."""
    mask = visible(sight, q.shape[-2])
    wide = sight.scale.dtype
    q, k = q.to(wide), k.to(wide)
    weights = attention_weights(q, k, sight.scale, mask)
    output = (weights @ v.to(wide)).to(v.dtype)
    with torch.no_grad():
        scores = (q * sight.scale[:, None, None]) @ k.transpose(-1, -2)
        lse = scores.masked_fill(~mask, -torch.inf).logsumexp(-1)
        return output, lse, query_statistics(weights, sight) if statistics else None


def attention_weights(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    scale: Float[Tensor, " H"],
    mask: Bool[Tensor, "... S S"],
) -> Float[Tensor, "B H S S"]:
    """Weights p = softmax(scale q k^T) over the keys that `mask` lets a query see.

    A query that sees no key at all has zero weights and zero gradients, not NaN.
    """
    scores = (q * scale[:, None, None]) @ k.transpose(-1, -2)
    sees = mask.any(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(~mask & sees, -torch.inf), dim=-1)
    return weights if bool(sees.all()) else weights.masked_fill(~sees, 0.0)


def visible(sight: Sight, length: int) -> Bool[Tensor, "#B #H S S"]:
    """Which query (row) sees which key (column)."""
    every = slice(0, length)
    seen = torch.ones(1, 1, length, length, dtype=torch.bool, device=sight.scale.device)
    if sight.causal:
        seen = seen.tril()
    if sight.window is not None:
        seen = seen & (sight.distances(every, every) < sight.window[:, None, None])
    if sight.key_mask is not None:
        seen = seen & sight.key_mask[:, None, None, :]
    return seen


def query_statistics(weights: Float[Tensor, "B H S S"], sight: Sight) -> Float[Tensor, "5 B H S"]:
    """Span, locality, entropy, sum of squares and largest weight of every query, by their definitions."""
    every = slice(0, weights.shape[-1])
    positions = sight.places(every)
    middle = weights @ positions
    squares = sum((positions[:, p] - middle[..., p, None]).square() for p in range(positions.shape[1]))
    return torch.stack(
        [
            (weights * sight.distances(every, every)).sum(-1),
            (weights * squares).sum(-1).sqrt(),
            -torch.xlogy(weights, weights).sum(-1),
            weights.square().sum(-1),
            weights.amax(-1),
        ]
    )
