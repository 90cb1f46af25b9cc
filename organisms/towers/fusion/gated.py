"""Gates: every tower is let through by itself, whatever the others say."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from organisms.towers.fusion.component import FusionComponent, per_input, same_for_each
from organisms.towers.fusion.opinions import mixed


class GatedFusion(FusionComponent):
    """y = sum_n g_n o_n with g_n = sigmoid(a_n . o_n + b_n), in (0, 1), for each position by itself.

    Towers do not compete: all may be heard, or none. b begins at -log N, so that gates begin at about 1 / (N + 1). The
    equation is ours: the documents say "sigmoid gates per input".

    Parameters
    ----------
    name, num_inputs, in_features
        As of `FusionComponent`.
    options
        `seed`, and options of `TorchComponent`.
    """

    def __init__(self, name: str, num_inputs: int, in_features: int, **options: Any) -> None:
        super().__init__(name, num_inputs, in_features, **options)
        self.gate = self.matrix("gate", num_inputs, in_features)
        self.bias = nn.Parameter(torch.full((num_inputs,), -math.log(num_inputs)))

    def weights(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, " N *batch"]:
        """Return how far the gates are open, each in (0, 1)."""
        logits = per_input(opinions, self.gate) + same_for_each(self.bias, opinions.ndim - 2)
        return logits.sigmoid()

    def fuse(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, "*batch D"]:
        """Return the sum of what passes the gates."""
        return mixed(opinions, self.weights(opinions))
