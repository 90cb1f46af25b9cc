"""The Cantor set as a measure of opinions: at how many scales one keeps out of the middle third."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from organisms.towers.fusion.component import FusionComponent, check_sizes, per_input, same_for_each
from organisms.towers.fusion.opinions import mixed


def cantor_scales(t: Float[Tensor, "*shape"], levels: int) -> Float[Tensor, "*shape levels"]:
    """Return k_l(t) = cos^2(pi 3^(l - 1) t) for l = 1 to `levels`, each in [0, 1].

    k_l is 1 at both ends of every interval of stage l - 1 of Cantor's construction, 0 in its middle, and 1/4 where the
    middle third begins and ends: t in [0, 1] is in stage L if and only if k_1 to k_L are all at least 1/4.
    """
    powers = 3.0 ** torch.arange(levels, dtype=t.dtype, device=t.device)
    return (math.pi * (t.unsqueeze(-1) * powers)).cos().square()


class CantorScaleFusion(FusionComponent):
    """y = sum_n w_n o_n with w = softmax_n(sum_l s_l k_l(t_n)) and t_n = sigmoid(a_n . o_n + b_n), in (0, 1).

    k_l(t) are `cantor_scales`: whether the place t_n of an opinion survives stage l of Cantor's construction. s_l,
    2^-l at first, is how much scale l counts. The equation is ours: the documents say "fractal geometry routing with
    Cantor set mathematics".

    Parameters
    ----------
    name, num_inputs, in_features
        As of `FusionComponent`.
    levels
        Scales, from 1 to 8; gradients of scale l grow as 3^(l - 1).
    options
        `seed`, and options of `TorchComponent`.

    Raises
    ------
    ValueError
        If there are no such levels.
    """

    def __init__(
        self, name: str, num_inputs: int, in_features: int, *, levels: int = 4, **options: Any
    ) -> None:
        super().__init__(name, num_inputs, in_features, **options)
        check_sizes(name, levels=levels)
        if levels > 8:
            raise ValueError(
                f"levels of {name!r} must be at most 8, below which float32 sees no thirds, not {levels}"
            )
        self.place = self.matrix("place", num_inputs, in_features)
        self.place_bias = nn.Parameter(torch.zeros(num_inputs))
        self.scale = nn.Parameter(0.5 ** torch.arange(1.0, levels + 1))

    def weights(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, " N *batch"]:
        """Return the shares of the opinions, which sum to 1."""
        logits = per_input(opinions, self.place) + same_for_each(self.place_bias, opinions.ndim - 2)
        return (cantor_scales(logits.sigmoid(), len(self.scale)) @ self.scale).softmax(0)

    def fuse(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, "*batch D"]:
        """Return the mixture of opinions."""
        return mixed(opinions, self.weights(opinions))
