"""Transformer blocks, and the stack of them in every model of the library."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from organisms.experts.config import BlockConfig, ModelConfig
from organisms.experts.feed_forward import MoEFeedForward
from organisms.layers.checks import check_tokens, zeroed
from organisms.layers.dense_ffn import DenseFFN
from organisms.layers.dropout import dropout_factors
from organisms.layers.key_values import KeyValues, Reading
from organisms.layers.norms import new_norm
from organisms.layers.redrawn import drawn_once, state_of
from organisms.layers.self_attention import SelfAttention


class TransformerBlock(nn.Module):
    """x <- x + attention(norm(x)), then x <- x + feed_forward(norm(x)): a pre-norm block (Xiong et al. 2020).

    Parameters
    ----------
    config
        Attention, feed-forward layer, norms and dropout.
    generator
        What the parameters are drawn from, on the CPU.
    n_layers
        L, the layers of the model, for the scaled initialisations.
    """

    def __init__(self, config: BlockConfig, generator: torch.Generator, *, n_layers: int = 1) -> None:
        super().__init__()
        self.config = config
        D = config.moe.d_model
        self.attention_norm = new_norm(D, rms=config.use_rms_norm)
        self.attention = SelfAttention(config.attention, D, generator, n_layers=n_layers)
        self.feed_forward_norm = new_norm(D, rms=config.use_rms_norm)
        self.feed_forward: MoEFeedForward | DenseFFN
        if config.feed_forward == "moe":
            self.feed_forward = MoEFeedForward(config.moe, generator, n_layers=n_layers)
        else:
            self.feed_forward = DenseFFN(config.moe.expert, generator, n_layers=n_layers)

    def forward(
        self,
        x: Float[Tensor, "B S D"],
        mask: Bool[Tensor, "B S"] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "B S D"], dict[str, Tensor]]:
        """Return the residual stream after this block, [B, S, D], and the router's metrics.

        A dense block has the metric ``aux_total`` alone, which is 0.

        Parameters
        ----------
        x
            The residual stream, [B, S, D].
        mask
            False where a token is padding, whatever it holds, [B, S]; None: nowhere.
        generator
            What noise and dropout are drawn from in training; not read without them.

        Raises
        ------
        ValueError
            If `x` or `mask` has another shape, dtype or device than this, that of the parameters; if the generator is
            missing, or `MoEFeedForward` refuses what it is given.
        """
        check_tokens("x", x, mask, self.config.moe.d_model, "d_model", self.attention.read)
        x = zeroed(x, mask)
        if (
            x.dtype == torch.float64
        ):  # under autocast parameters may be float32, and LayerNorm refuses a mixture
            x = x.to(self.attention.read.dtype)
        x = x + self._dropped(self.attention(self.attention_norm(x), mask), generator)
        h = self.feed_forward_norm(x)
        if isinstance(self.feed_forward, MoEFeedForward):
            y, metrics = self.feed_forward(h, mask, generator)
        else:
            y, metrics = self.feed_forward(h, generator), {"aux_total": x.new_zeros((), dtype=torch.float32)}
        return x + self._dropped(y, generator), metrics

    def extended(self, x: Float[Tensor, "N D"], reading: Reading, past: KeyValues) -> Float[Tensor, "N D"]:
        """Return the residual stream of new tokens after this block, [N, D], as in evaluation.

        Parameters
        ----------
        x
            The residual stream of the new tokens, [N, D].
        reading, past
            As in `SelfAttention.extended`.
        """
        x = x + self.attention.extended(self.attention_norm(x), reading, past)
        return x + self.feed_forward.each(self.feed_forward_norm(x))

    def _dropped(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        if not (self.training and self.config.dropout):
            return y
        before = state_of(generator)
        return drawn_once(
            y * dropout_factors(y, tuple(y.shape), self.config.dropout, generator), before, generator
        )


class Blocks(nn.Module):
    """L transformer blocks and a final norm.

    Parameters
    ----------
    config
        L and the configuration of a block.
    generator
        What the parameters are drawn from, on the CPU.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        L = config.n_layers
        self.blocks = nn.ModuleList(TransformerBlock(config.block, generator, n_layers=L) for _ in range(L))
        self.norm = new_norm(config.block.moe.d_model, rms=config.block.use_rms_norm)

    def forward(
        self, x: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"] | None, generator: torch.Generator | None
    ) -> tuple[Float[Tensor, "B S D"], dict[str, Tensor]]:
        """Return the normed residual stream after the last block, [B, S, D], and the metrics of all routers.

        Each metric is stacked over layers, [L, ...]; ``aux_total`` alone is the sum over layers times the
        configuration's ``aux_weight``, which is to be added to the task's loss.

        Parameters
        ----------
        x, mask, generator
            As in `TransformerBlock.forward`.
        """
        layers = []
        for block in self.blocks:
            x, metrics = block(x, mask, generator)
            layers.append(metrics)
        stacked = {name: torch.stack([layer[name] for layer in layers]) for name in layers[0]}
        stacked["aux_total"] = self.config.aux_weight * stacked["aux_total"].sum()
        return self.norm(x), stacked

    def extended(
        self, x: Float[Tensor, "N D"], reading: Reading, pasts: Sequence[KeyValues]
    ) -> Float[Tensor, "N D"]:
        """Return the normed residual stream of new tokens after the last block, [N, D], as in evaluation.

        Parameters
        ----------
        x, reading
            As in `TransformerBlock.extended`.
        pasts
            The cache of each block, in order.
        """
        for block, past in zip(self.blocks, pasts, strict=True):
            assert isinstance(block, TransformerBlock), "what __init__ put there"
            x = block.extended(x, reading, past)
        return self.norm(x)

    def new_caches(self, slots: int) -> list[KeyValues]:
        """Return an empty cache for each block, of so many sequences."""
        attentions = [block.attention for block in self.blocks if isinstance(block, TransformerBlock)]
        return [attention.new_cache(slots) for attention in attentions]
