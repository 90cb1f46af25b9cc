"""oneDNN's fp32 product through a private operation of torch, with a gradient of our own."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def available() -> bool:
    """Say whether this torch was built with oneDNN and has the operation."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias of matrices, by oneDNN; strides may be any."""
    # The operation reads a bias as if it had stride 1, and raises on matrices that overlap themselves.
    bias = None if bias is None else bias.contiguous()
    return torch.ops.mkldnn._linear_pointwise(packed(x), packed(weight), bias, "none", [], "")


def packed(matrix: Tensor) -> Tensor:
    """Copy a matrix unless its rows or its columns lie one after the other in memory."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


class Linear(torch.autograd.Function):
    """y = x W^T + b, with dx = dy W, dW = dy^T x and db = the sum of dy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x [M, K] -> y [M, N]."""
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Compute what is asked for."""
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            product(grad, weight.t()) if wanted[0] else None,
            product(grad.t(), x.t()) if wanted[1] else None,
            grad.sum(0) if wanted[2] else None,
        )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Map [..., K] to [..., N]; neither may be empty."""
    N, K = weight.shape
    return Linear.apply(x.reshape(-1, K), weight, bias).reshape(*x.shape[:-1], N)
