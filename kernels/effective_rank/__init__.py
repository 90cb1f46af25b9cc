"""How many directions a set of vectors really uses."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["effective_rank"]


def effective_rank(x: Float[Tensor, "... N D"]) -> Float[Tensor, "..."]:
    """Participation ratio ``tr(C)^2 / ||C||_F^2`` of the Gram matrix C = x^T x, in [1, D]; 0 for zeros.

    It equals (sum of squared singular values)^2 over the sum of their fourth powers and needs no
    decomposition, so it is smooth where singular values repeat. Computed in float64.
    """
    gram = x.double().transpose(-1, -2) @ x.double()
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    square = gram.square().sum((-2, -1))
    ratio = trace.square() / torch.where(square > 0, square, torch.ones_like(square))
    return ratio.to(x.dtype)
