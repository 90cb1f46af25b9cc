"""Attention on torch: its fused kernel where that can do what is asked, else a tile of the matrix at a time.

The fused kernel has no statistics, but a backward pass for whoever made the log-sum-exp.
"""

from torch import Tensor

from kernels.attention import blockwise, flash
from kernels.attention.visibility import Sight


def forward(
    q: Tensor, k: Tensor, v: Tensor, sight: Sight, statistics: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Give the output, the log-sum-exp and, when asked, the statistics of every query."""
    if statistics or not flash.serves(q, sight):
        return blockwise.forward(q, k, v, sight, statistics)
    return *flash.forward(q, k, v, sight), None


def backward(
    grad_output: Tensor, q: Tensor, k: Tensor, v: Tensor, output: Tensor, lse: Tensor, sight: Sight
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the gradients of q, k and v."""
    path = flash if flash.serves(q, sight) else blockwise
    return path.backward(grad_output, q, k, v, output, lse, sight)
