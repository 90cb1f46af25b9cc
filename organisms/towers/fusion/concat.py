"""All opinions side by side, projected."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from organisms.towers.fusion.component import FusionComponent, check_sizes


class ConcatFusion(FusionComponent):
    """y = W [o_1; ...; o_N] + b.

    Parameters
    ----------
    name, num_inputs, in_features
        As of `FusionComponent`.
    out_features
        Width of y, E; None: `in_features`.
    options
        `seed`, and options of `TorchComponent`.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on.
    """

    def __init__(
        self, name: str, num_inputs: int, in_features: int, *, out_features: int | None = None, **options: Any
    ) -> None:
        super().__init__(name, num_inputs, in_features, **options)
        self.out_features = in_features if out_features is None else out_features
        check_sizes(name, out_features=self.out_features)
        self.project = self.matrix("project", self.out_features, num_inputs * in_features)
        self.bias = nn.Parameter(torch.zeros(self.out_features))

    def fuse(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, "*batch E"]:
        """Return the projection of all opinions together."""
        return F.linear(opinions.movedim(0, -2).flatten(-2), self.project, self.bias)
