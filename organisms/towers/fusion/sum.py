"""A learnt weighted sum, the same for every input."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from organisms.towers.fusion.component import FusionComponent


class SumFusion(FusionComponent):
    """y = sum_n w_n o_n with learnt w, which begin at 1 / N: the mean.

    Parameters
    ----------
    name, num_inputs, in_features
        As of `FusionComponent`.
    options
        `seed`, and options of `TorchComponent`.
    """

    def __init__(self, name: str, num_inputs: int, in_features: int, **options: Any) -> None:
        super().__init__(name, num_inputs, in_features, **options)
        self.weight = nn.Parameter(torch.full((num_inputs,), 1 / num_inputs))

    def fuse(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, "*batch D"]:
        """Return the weighted sum of opinions."""
        return torch.einsum("n...d,n->...d", opinions, self.weight)
