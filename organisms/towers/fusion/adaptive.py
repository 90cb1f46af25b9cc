"""Weights by content: every tower is scored by what it says."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from organisms.towers.fusion.component import FusionComponent, check_sizes, same_for_each
from organisms.towers.fusion.opinions import mixed


class AdaptiveFusion(FusionComponent):
    """y = sum_n w_n o_n with w = softmax_n(v . gelu(W o_n + b) + c_n), for each position by itself.

    The score reads an opinion in the same way whoever gives it; c_n, 0 at first, is what is held of tower n in
    advance. So towers may be permuted together with their c. The equation is ours: the documents say
    "content-dependent weights".

    Parameters
    ----------
    name, num_inputs, in_features
        As of `FusionComponent`.
    hidden
        Rows of W; None: a quarter of `in_features`, at least 8.
    options
        `seed`, and options of `TorchComponent`.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on.
    """

    def __init__(
        self, name: str, num_inputs: int, in_features: int, *, hidden: int | None = None, **options: Any
    ) -> None:
        super().__init__(name, num_inputs, in_features, **options)
        hidden = max(8, in_features // 4) if hidden is None else hidden
        check_sizes(name, hidden=hidden)
        self.read = self.matrix("read", hidden, in_features)
        self.read_bias = nn.Parameter(torch.zeros(hidden))
        self.score = self.matrix("score", 1, hidden)
        self.prior = nn.Parameter(torch.zeros(num_inputs))

    def logits(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, " N *batch"]:
        """Return the log odds of the opinions before they are shared out, [N, ...]."""
        hidden = F.gelu(F.linear(opinions, self.read, self.read_bias))
        return F.linear(hidden, self.score).squeeze(-1) + same_for_each(self.prior, opinions.ndim - 2)

    def weights(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, " N *batch"]:
        """Return the shares of the opinions, which sum to 1 over N."""
        return self.logits(opinions).softmax(0)

    def fuse(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, "*batch D"]:
        """Return the mixture of opinions."""
        return mixed(opinions, self.weights(opinions))
