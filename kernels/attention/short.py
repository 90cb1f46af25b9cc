"""Attention of short sequences: the whole matrix, whose weights are kept for the backward pass.

Up to `LONGEST` tokens the weights take no more memory than values of that width would, and small products that are
batched cost less than a fused kernel's loop over heads (tests/benchmarks/attention.py).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.attention.visibility import Visibility, bias, hidden

LONGEST = 32  # tokens


def serves(q: Tensor) -> bool:
    """Whether sequences are short and on the CPU: elsewhere a branch on numbers would wait for the device."""
    return q.device.type == "cpu" and q.shape[2] <= LONGEST


def forward(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    visibility: Visibility,
    lse: bool,
) -> tuple[Float[Tensor, "B H S W"], Float[Tensor, "B H S"] | None]:
    """Return the output and, when asked, the log-sum-exp.

    Parameters
    ----------
    q, k
        Queries and keys, [B, H, S, R].
    v
        Values, [B, H, S, W].
    visibility
        Scale of the scores, and which query sees which key.
    lse
        Whether to return the log-sum-exp as well, [B, H, S].
    """
    wide = visibility.scale.dtype
    scores = (q.to(wide) * visibility.scale[:, None, None]) @ k.to(wide).mT
    seen = visibility.seen(q.shape[2], causal=visibility.causal)
    if seen is not None:
        scores.add_(bias(seen, wide))
    weights = torch.softmax(scores, -1)
    if seen is not None and not bool(seen.any(-1).all()):
        weights = weights.masked_fill(~seen.any(-1, keepdim=True), 0.0)
    output = (weights @ v.to(wide)).to(v.dtype)
    return output, _log_sum_exp(scores.detach()) if lse else None


def _log_sum_exp(scores: Tensor) -> Tensor:
    """Return the log-sum-exp of every row, -inf where all keys are hidden."""
    lse = scores.logsumexp(-1)
    return lse.masked_fill_(lse < hidden(lse.dtype) / 2, -torch.inf)
