"""How the features of a set of vectors vary together."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["correlation"]


def correlation(x: Float[Tensor, "... N D"]) -> Float[Tensor, "... D D"]:
    """Pearson correlation between the D features over N vectors, computed in float64.

    A constant feature correlates with nothing: its row is zero but for the 1 on the diagonal.
    """
    centred = x.double() - x.double().mean(-2, keepdim=True)
    # The mean of equal numbers can differ from them by a rounding; the norm cannot tell a constant feature.
    varies = x.amax(-2, keepdim=True) > x.amin(-2, keepdim=True)
    norms = centred.norm(dim=-2, keepdim=True)
    unit = torch.where(varies, centred / torch.where(norms > 0, norms, torch.ones_like(norms)), 0.0)
    gram = unit.transpose(-1, -2) @ unit
    gram.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    return gram.to(x.dtype)
