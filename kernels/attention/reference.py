"""Attention by its definition: the whole matrix of weights, then everything that is asked of it.

Half-precision inputs are widened to float32 first, as on the other paths. Autograd differentiates all of it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kernels.attention.visibility import Visibility
from kernels.exporting import exporting


def forward(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    visibility: Visibility,
    statistics: bool,
) -> tuple[Float[Tensor, "B H S W"], Float[Tensor, "B H S"], Float[Tensor, "5 B H S"] | None]:
    """Return the output, the log-sum-exp and, when asked, the statistics of every query.

    Parameters
    ----------
    q, k
        Queries and keys, [B, H, S, R].
    v
        Values, [B, H, S, W].
    visibility
        Scale of the scores, and which query sees which key.
    statistics
        Whether to return those as well, [5, B, H, S].
    """
    mask = visible(visibility, q.shape[-2])
    wide = visibility.scale.dtype
    q, k = q.to(wide), k.to(wide)
    weights = attention_weights(q, k, visibility.scale, mask)
    output = (weights @ v.to(wide)).to(v.dtype)
    with torch.no_grad():
        scores = (q * visibility.scale[:, None, None]) @ k.transpose(-1, -2)
        lse = scores.masked_fill(~mask, -torch.inf).logsumexp(-1)
        return output, lse, query_statistics(weights, visibility) if statistics else None


def attention_weights(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    scale: Float[Tensor, " H"],
    mask: Bool[Tensor, "... S S"],
) -> Float[Tensor, "B H S S"]:
    """Weights p = softmax(scale q k^T) over the keys that `mask` lets a query see.

    A query that sees no key at all has zero weights and zero gradients, not NaN.

    Parameters
    ----------
    q, k
        Queries and keys, [B, H, S, R].
    scale
        Factor of the scores of each head, [H].
    mask
        True where a query (row) sees a key (column), [..., S, S].
    """
    scores = (q * scale[:, None, None]) @ k.transpose(-1, -2)
    sees = mask.any(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(~mask & sees, -torch.inf), dim=-1)
    return weights if not exporting() and bool(sees.all()) else weights.masked_fill(~sees, 0.0)


def visible(visibility: Visibility, length: int) -> Bool[Tensor, "#B #H S S"]:
    """Return which query (row) sees which key (column)."""
    every = slice(0, length)
    seen = torch.ones(1, 1, length, length, dtype=torch.bool, device=visibility.scale.device)
    if visibility.causal:
        seen = seen.tril()
    if visibility.window is not None:
        seen = seen & (visibility.distances(every, every) < visibility.window[:, None, None])
    if visibility.key_mask is not None:
        seen = seen & visibility.key_mask[:, None, None, :]
    return seen


def query_statistics(weights: Float[Tensor, "B H S S"], visibility: Visibility) -> Float[Tensor, "5 B H S"]:
    """Span, locality, entropy, sum of squares and largest weight of every query, by their definitions."""
    every = slice(0, weights.shape[-1])
    positions = visibility.places(every)
    middle = weights @ positions
    squares = sum((positions[:, p] - middle[..., p, None]).square() for p in range(positions.shape[1]))
    return torch.stack(
        [
            (weights * visibility.distances(every, every)).sum(-1),
            (weights * squares).sum(-1).sqrt(),
            -torch.xlogy(weights, weights).sum(-1),
            weights.square().sum(-1),
            weights.amax(-1),
        ]
    )
