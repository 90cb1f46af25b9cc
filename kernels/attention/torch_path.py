"""Attention on torch: its fused kernel where that can do what is asked, whole or in bands; else a tile at a time.

The fused kernel has no statistics, but its backward pass takes the log-sum-exp of any forward pass.
"""

from torch import Tensor

from kernels.attention import banded, blockwise, flash
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
    for path in () if statistics else (flash, banded):
        if path.serves(q, visibility):
            return *path.forward(q, k, v, visibility), None
    return blockwise.forward(q, k, v, visibility, statistics)


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
    for path in (flash, banded):
        if path.serves(q, visibility):
            return path.backward(grad_output, q, k, v, output, lse, visibility)
    return blockwise.backward(grad_output, q, k, v, output, lse, visibility)
