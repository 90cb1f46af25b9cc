"""N affine maps at once, whose gradients lie as the matrices do."""

from typing import Any

import torch
from torch import Tensor


class Products(torch.autograd.Function):
    """y_n = x_n W_n^T + b_n, with dx_n = dy_n W_n, dW_n = dy_n^T x_n and db_n = the sum of dy_n, of any order.

    The gradient that torch has for ``baddbmm(b, x, W.mT)`` is that of W^T: each tower's slice of it would be copied, to
    lie as its parameter does.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Compute y [N, M, P].

        Parameters
        ----------
        ctx
            Keeps what the backward pass needs.
        x
            Rows of each tower, [N, M, K].
        weight, bias
            W [N, P, K] and b [N, P]; without a bias the maps are linear.
        """
        ctx.save_for_backward(x, weight)
        return products(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients that are asked for."""
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            torch.bmm(grad, weight) if to_x else None,
            torch.bmm(grad.mT, x) if to_weight else None,
            grad.sum(1) if to_bias else None,
        )


def products(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return y [N, M, P], with torch's own gradients.

    Parameters
    ----------
    x, weight, bias
        As `Products.forward` takes them.
    """
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
