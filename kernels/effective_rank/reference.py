"""Both effective ranks by their definitions, from the singular values themselves."""

import torch
from jaxtyping import Float
from torch import Tensor


def participation(x: Float[Tensor, "... N D"]) -> Float[Tensor, "..."]:
    """(sum of squares)^2 over the sum of fourth powers of the singular values; 0 for zeros."""
    squares = torch.linalg.svdvals(x).square()
    total, fourth = squares.sum(-1), squares.square().sum(-1)
    return total.square() / torch.where(fourth > 0, fourth, 1.0)


def entropy(x: Float[Tensor, "... N D"]) -> Float[Tensor, "..."]:
    """exp(H(sigma / sum sigma)) of the singular values that are not zero but for roundings; 0 for zeros."""
    sigma = torch.linalg.svdvals(x)
    rounding = max(x.shape[-2:]) * torch.finfo(x.dtype).eps * sigma.amax(-1, keepdim=True)
    present = sigma > rounding
    total = torch.where(present, sigma, 0.0).sum(-1, keepdim=True)
    p = torch.where(present, sigma / torch.where(total > 0, total, 1.0), 1.0)  # 1 has no share in the entropy
    rank = torch.exp(-(p * p.log()).sum(-1))
    return torch.where(present.any(-1), rank, 0.0)
