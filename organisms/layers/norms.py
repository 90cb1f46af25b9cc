"""Norms with a learned scale."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + 1e-6) times a learned scale, over the last axis (Zhang and Sennrich 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Give each vector a root mean square of one, then scale its coordinates."""
        return rms_norm(x) * self.weight


def new_norm(width: int, *, rms: bool) -> nn.Module:
    """Build an RMSNorm, or a LayerNorm, which also takes the mean away and has a bias."""
    return RMSNorm(width) if rms else nn.LayerNorm(width)


EPSILON = 1e-6  # under the root of `rms_norm`


def rms_norm(x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
    """x / sqrt(mean(x^2) + 1e-6) over the last axis, without a learned scale; half types in float32 between."""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))  # in float16 the square of 256 overflows
    return (exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + EPSILON)).to(x.dtype)
