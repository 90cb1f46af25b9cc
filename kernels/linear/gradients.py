"""The affine map by oneDNN, with gradients of our own: torch's operation has none."""

from typing import Any

import torch
from torch import Tensor

from kernels import onednn


class Linear(torch.autograd.Function):
    """y = x W^T + b, with dx = dy W, dW = dy^T x and db = the sum of dy: linear maps again, for any order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Compute y [M, N] of x [M, K].

        Parameters
        ----------
        ctx
            Keeps what the backward pass needs.
        x
            Vectors, [M, K].
        weight
            Matrix, [N, K].
        bias
            Added to every result, [N]; None: nothing is.
        """
        ctx.save_for_backward(x, weight)
        return onednn.product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients that are asked for."""
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            Linear.apply(grad, weight.t()) if wanted[0] else None,
            onednn.outer(grad, x, Linear.apply) if wanted[1] else None,
            grad.sum(0) if wanted[2:] == (True,) else None,
        )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Map [..., K] to [..., N]; neither may be empty.

    Parameters
    ----------
    x
        Vectors, [..., K].
    weight
        Matrix, [N, K].
    bias
        Added to every result, [N]; None: nothing is.
    """
    N, K = weight.shape
    return Linear.apply(x.reshape(-1, K), weight, bias).reshape(*x.shape[:-1], N)
