"""Attention on torch: its fused kernel where that can do what is asked, else a tile of the matrix at a time.

The fused kernel has no statistics, but its backward pass takes the log-sum-exp of any forward pass.
"""

from torch import Tensor

from kernels.attention import blockwise, flash
from kernels.attention.visibility import Visibility


def forward(
    q: Tensor, k: Tensor, v: Tensor, visibility: Visibility, statistics: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
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
    if statistics or not flash.serves(q, visibility):
        return blockwise.forward(q, k, v, visibility, statistics)
    return *flash.forward(q, k, v, visibility), None


def backward(
    grad_output: Tensor, q: Tensor, k: Tensor, v: Tensor, output: Tensor, lse: Tensor, visibility: Visibility
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of q, k and v.

    Parameters
    ----------
    grad_output
        Gradient of the output, [B, H, S, W].
    q, k
        Queries and keys, [B, H, S, R].
    v
        Values, [B, H, S, W].
    output, lse
        What `forward` returned, [B, H, S, W] and [B, H, S].
    visibility
        Scale of the scores, and which query sees which key.
    """
    path = flash if flash.serves(q, visibility) else blockwise
    return path.backward(grad_output, q, k, v, output, lse, visibility)
