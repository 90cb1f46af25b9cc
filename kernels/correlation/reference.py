"""Gram matrix and Pearson correlation by their definitions."""

import torch
from jaxtyping import Float
from torch import Tensor


def gram(x: Float[Tensor, "... N D"]) -> Float[Tensor, "... D D"]:
    """Inner products of the features: x^T x."""
    return x.transpose(-1, -2) @ x


def correlation(x: Float[Tensor, "... N D"]) -> Float[Tensor, "... D D"]:
    """Covariance over the product of the standard deviations; 0 beside, 1 on the diagonal if there are none."""
    covariance = gram(x - x.mean(-2, keepdim=True))
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    defined = (x.amax(-2) != x.amin(-2)) & (variance != 0)  # true of NaN, which then is seen
    deviation = torch.where(defined, variance, 1.0).sqrt()
    pairs = defined.unsqueeze(-1) & defined.unsqueeze(-2)
    ratio = covariance / (deviation.unsqueeze(-1) * deviation.unsqueeze(-2))
    one = torch.eye(x.shape[-1], dtype=torch.bool, device=x.device)
    return torch.where(pairs, ratio, 0.0).masked_fill(one, 1.0)
