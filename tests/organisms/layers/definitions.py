"""Activations by their formulas, and small tensors in float64 to compute on."""

import math

import torch
from torch import Tensor

D, H = 5, 7  # widths of the residual stream and of the hidden layer

PLAIN = {
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "relu": lambda x: torch.where(x > 0, x, 0 * x),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}
GATED = {"swiglu": "silu", "geglu": "gelu", "reglu": "relu"}


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def activated(h: Tensor, activation: str) -> Tensor:
    """The hidden units of a network, by the formula of its activation."""
    if activation in PLAIN:
        return PLAIN[activation](h)
    half = h.shape[-1] // 2
    return PLAIN[GATED[activation]](h[..., :half]) * h[..., half:]


def with_gradients(y: Tensor, leaves: list[Tensor], change: Tensor) -> list[Tensor]:
    """A result and its gradients, for a given gradient of the result."""
    return [y.detach(), *torch.autograd.grad(y, leaves, change)]
