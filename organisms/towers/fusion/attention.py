"""Attention over the towers: what all say together asks, and each answers."""

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from organisms.towers.fusion.component import FusionComponent, check_sizes


class AttentionFusion(FusionComponent):
    """y = W_o concat_h(sum_n a_hn V_h o_n) with a_h = softmax_n(q_h . K_h o_n / sqrt(R)) and q = Q mean_n o_n.

    One query for each position, of the mean opinion, so that y does not depend on the order of towers and its cost
    grows with N, not N^2. The equation is ours: the documents say "cross-attention between inputs".

    Parameters
    ----------
    name, num_inputs, in_features
        As of `FusionComponent`.
    num_heads
        Heads h, of R = `in_features` / `num_heads` numbers.
    options
        `seed`, and options of `TorchComponent`.

    Raises
    ------
    ValueError
        If `num_heads` does not divide `in_features`.
    """

    def __init__(
        self, name: str, num_inputs: int, in_features: int, *, num_heads: int = 1, **options: Any
    ) -> None:
        super().__init__(name, num_inputs, in_features, **options)
        check_sizes(name, num_heads=num_heads)
        if in_features % num_heads:
            raise ValueError(
                f"num_heads of {name!r} must divide in_features, {in_features}, but is {num_heads}"
            )
        self.num_heads = num_heads
        self.query, self.key, self.value, self.write = (
            self.matrix(what, in_features, in_features) for what in ("query", "key", "value", "write")
        )

    def fuse(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, "*batch D"]:
        """Return what the opinions answer to their mean."""
        keys, values = (self._heads(F.linear(opinions, each)) for each in (self.key, self.value))
        query = self._heads(F.linear(opinions.mean(0, keepdim=True), self.query))
        # One query: torch's fused attention would save nothing, and cannot be batched over parameters.
        shares = (query @ keys.mT / math.sqrt(query.shape[-1])).softmax(-1)  # [..., H, 1, N]
        answer = shares @ values  # [..., H, 1, R]
        return F.linear(answer.flatten(-3), self.write)

    def _heads(self, stack: Tensor) -> Tensor:
        """Return a stack [N, ..., D] as [..., H, N, R]."""
        return stack.unflatten(-1, (self.num_heads, -1)).movedim(0, -2)
