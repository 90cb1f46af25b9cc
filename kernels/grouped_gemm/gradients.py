"""Gradients of the grouped product, from the two products that every path provides.

With rows(x, W)_i = x_i W_g(i) and outer(x, y)_g = sum over the rows i of group g of x_i^T y_i, each is the
other's derivative, so gradients of any order need nothing else:

    y = rows(x, W):    dx = rows(dy, W^T),   dW = outer(x, dy)
    V = outer(x, y):   dx = rows(y, dV^T),   dy = rows(x, dV)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Product = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Products:
    """The two products of a path, for tensors of any strides; the last argument is the end of each group."""

    rows: Product  # [M, K], [G, K, N], [G] -> [M, N]
    outer: Product  # [M, K], [M, N], [G] -> [G, K, N]; zero for a group without rows


def differentiable(products: Products, x: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
    """Return ``products.rows(x, weights, offsets)``, with gradients of any order.

    Parameters
    ----------
    products
        How to compute.
    x
        Rows sorted by group, [M, K].
    weights
        One matrix per group, [G, K, N].
    offsets
        The end of each group, cumulative, [G].
    """
    return _Rows.apply(products, x, weights, offsets)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, products: Products, x: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
        ctx.products = products
        ctx.save_for_backward(x, weights, offsets)
        return products.rows(x, weights, offsets)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor | None, Tensor | None, None]:
        products, (x, weights, offsets) = ctx.products, ctx.saved_tensors
        _, x_wanted, weights_wanted, _ = ctx.needs_input_grad
        to_x = _Rows.apply(products, grad, weights.mT, offsets) if x_wanted else None
        to_weights = _Outer.apply(products, x, grad, offsets) if weights_wanted else None
        return None, to_x, to_weights, None


class _Outer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, products: Products, x: Tensor, y: Tensor, offsets: Tensor) -> Tensor:
        ctx.products = products
        ctx.save_for_backward(x, y, offsets)
        return products.outer(x, y, offsets)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor | None, Tensor | None, None]:
        products, (x, y, offsets) = ctx.products, ctx.saved_tensors
        _, x_wanted, y_wanted, _ = ctx.needs_input_grad
        to_x = _Rows.apply(products, y, grad.mT, offsets) if x_wanted else None
        to_y = _Rows.apply(products, x, grad, offsets) if y_wanted else None
        return None, to_x, to_y, None
