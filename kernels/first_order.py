"""Gradients of first order alone: differentiating them again raises an error, instead of leaving a term out."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Gradients = tuple[Tensor | None, ...]


def first_order(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """Decorate the backward of an autograd function: no graph is made of it, and differentiating it raises.

    Differs from torch's `once_differentiable`, which raises only if the gradient that comes in asks for a gradient
    itself: a second derivative that runs through the saved tensors alone would silently be zero.
    """

    @wraps(backward)
    def wrapped(ctx: Any, *grads: Tensor | None) -> Gradients:
        with torch.no_grad():
            found = backward(ctx, *grads)
        if not torch.is_grad_enabled():
            return found
        return tuple(None if each is None else _Once.apply(each.detach().requires_grad_()) for each in found)

    return wrapped


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        raise RuntimeError(
            "this operation's gradient cannot be differentiated again; pass backend='reference', whose can, or leave "
            "out create_graph"
        )
