"""Binding: which opinions are there, how far they can be seen, and which are boosted."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import arguments
from organisms.towers.fusion.adaptive import AdaptiveFusion
from organisms.towers.fusion.component import FusionComponent, per_input, same_for_each
from organisms.towers.fusion.opinions import mixed


class AdaptiveBindingFusion(FusionComponent):
    """y = sum_n w_n o_n with w_n = m_n s_n e^(z_n + beta_n) / sum_k m_k s_k e^(z_k + beta_k).

    z_n is the score of `AdaptiveFusion`; the mask m_n, 0 or 1, says whether opinion n is there; the visibility
    s_n = sigmoid(u_n . o_n + t_n), in (0, 1), lets content hide it; the boost beta_n, 0 at first, multiplies its odds.
    All three work on odds, so that one opinion hidden leaves the proportions of the others as they are. Where all are
    masked, y is 0. The equation is ours: the documents name mask, visibility and boost.

    Parameters
    ----------
    name, num_inputs, in_features
        As of `FusionComponent`.
    hidden
        As of `AdaptiveFusion`.
    options
        `seed`, and options of `TorchComponent`.
    """

    def __init__(
        self, name: str, num_inputs: int, in_features: int, *, hidden: int | None = None, **options: Any
    ) -> None:
        super().__init__(name, num_inputs, in_features, **options)
        self.scored = AdaptiveFusion(f"{name}_scored", num_inputs, in_features, hidden=hidden, **options)
        self.visible = self.matrix("visible", num_inputs, in_features)
        self.visible_bias = nn.Parameter(torch.zeros(num_inputs))

    @property
    def boost(self) -> nn.Parameter:
        """beta, [N]: held of each opinion in advance, which is what `AdaptiveFusion` calls its prior."""
        return self.scored.prior

    def visibility(self, opinions: Float[Tensor, "N *batch D"]) -> Float[Tensor, " N *batch"]:
        """Return how far each opinion can be seen, in (0, 1)."""
        return self._visible_logits(opinions).sigmoid()

    def weights(
        self, opinions: Float[Tensor, "N *batch D"], mask: Tensor | None = None
    ) -> Float[Tensor, " N *batch"]:
        """Return the shares of the opinions, which sum to 1, or are all 0 where all are masked.

        Raises
        ------
        ValueError
            If `mask` is neither bool [N] nor [N, ...], on the device of the opinions.
        """
        logits = self.scored.logits(opinions) + F.logsigmoid(self._visible_logits(opinions))
        if mask is None:
            return logits.softmax(0)
        there = self._checked(mask, logits)
        nobody = ~there.any(0, keepdim=True)
        shares = logits.masked_fill(~(there | nobody), -torch.inf).softmax(0)
        return shares.masked_fill(nobody, 0)

    def fuse(
        self, opinions: Float[Tensor, "N *batch D"], mask: Tensor | None = None
    ) -> Float[Tensor, "*batch D"]:
        """Return the mixture of the opinions that are there.

        `mask` is False where an opinion is not there, [N] or [N, ...]; None: nowhere. What it hides may hold anything,
        even NaN.
        """
        weights = self.weights(opinions, mask)
        return mixed(
            opinions if mask is None else opinions.masked_fill((weights == 0).unsqueeze(-1), 0), weights
        )

    def _visible_logits(self, opinions: Tensor) -> Tensor:
        return per_input(opinions, self.visible) + same_for_each(self.visible_bias, opinions.ndim - 2)

    def _checked(self, mask: Tensor, like: Tensor) -> Tensor:
        arguments.tensors(mask=mask)
        one_each = mask.shape == like.shape[:1]
        if (
            mask.dtype != torch.bool
            or mask.device != like.device
            or not (one_each or mask.shape == like.shape)
        ):
            raise ValueError(
                f"mask of fusion {self.name!r} must be torch.bool {list(like.shape[:1])} or {list(like.shape)} on "
                f"{like.device}, but is {mask.dtype} {list(mask.shape)} on {mask.device}"
            )
        return same_for_each(mask, like.ndim - 1).expand_as(like) if one_each else mask
