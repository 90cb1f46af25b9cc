"""Norms over the last axis."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

EPSILON = 1e-6  # under the root of `rms_norm`


def rms_norm(x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
    """x / sqrt(mean(x^2) + 1e-6) over the last axis, without a learned scale; half types in float32 between."""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))  # in float16 the square of 256 overflows
    return (exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + EPSILON)).to(x.dtype)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + 1e-6) times a learned scale, over the last axis (Zhang and Sennrich 2019).

    Parameters
    ----------
    width
        Size of the last axis, D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Return every vector divided by its root mean square, times the scale."""
        return rms_norm(x) * self.weight


def new_norm(width: int, *, rms: bool) -> nn.Module:
    """Return a new RMSNorm, or a LayerNorm, which also subtracts the mean and has a bias."""
    return RMSNorm(width) if rms else nn.LayerNorm(width)
