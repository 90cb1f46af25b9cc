"""Attention of short sequences: the whole matrix, whose weights are kept for the backward pass.

Up to `LONGEST` tokens the weights take no more memory than values of that width would, and small products that are
batched cost less than a fused kernel's loop over heads (tests/benchmarks/attention.py).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.attention.sight import Sight, hidden

LONGEST = 32  # tokens


def serves(q: Tensor) -> bool:
    """Say whether sequences are short and on the CPU: elsewhere it would wait for numbers that a branch reads."""
    return q.device.type == "cpu" and q.shape[2] <= LONGEST


def forward(
    q: Float[Tensor, "B H S R"], k: Float[Tensor, "B H S R"], v: Float[Tensor, "B H S W"], sight: Sight
) -> tuple[Float[Tensor, "B H S W"], Float[Tensor, "B H S"]]:
    """Give the output and the log-sum-exp."""
    wide = sight.scale.dtype
    scores = (q.to(wide) * sight.scale[:, None, None]) @ k.to(wide).mT
    mask = sight.mask(q.shape[2], causal=sight.causal)
    scores = scores if mask is None else scores + mask
    weights = torch.softmax(scores, -1)
    lse = _log_sum_exp(scores.detach(), weights.detach())
    blind = lse < hidden(wide) / 2
    if bool(blind.any()):
        weights, lse = weights.masked_fill(blind.unsqueeze(-1), 0.0), lse.masked_fill(blind, -torch.inf)
    return (weights @ v.to(wide)).to(v.dtype), lse


def _log_sum_exp(scores: Tensor, weights: Tensor) -> Tensor:
    """Of every row: from the score and the weight of a query's own key, as log p = s - lse, if it has any."""
    own, share = (matrix.diagonal(dim1=-2, dim2=-1) for matrix in (scores, weights))
    return own - share.log() if bool((share > 1e-30).all()) else scores.logsumexp(-1)
