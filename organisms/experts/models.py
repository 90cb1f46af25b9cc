"""Whole models: a regressor of sequences of continuous values, and a language model."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import arguments
from kernels.exporting import exporting
from kernels.linear import linear
from organisms.experts.block import Blocks
from organisms.experts.config import ModelConfig
from organisms.experts.routing.build import router_class
from organisms.layers.checks import check_construction, check_mask, check_tokens, described, zeroed
from organisms.layers.key_values import KeyValues, Reading


class MoESequenceRegressor(nn.Module):
    """A transformer that reads F real numbers at each token, such as one of a signal, and predicts G at each.

    Parameters
    ----------
    config
        Input and output features, layers and blocks.
    generator
        What the parameters are drawn from, on the CPU.

    Raises
    ------
    ValueError
        If `config` is no `ModelConfig`, or `generator` is no generator of the CPU.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__()
        check_construction(config, ModelConfig, generator)
        self.config = config
        D, inputs, outputs = config.block.moe.d_model, config.n_inputs, config.n_outputs or config.n_inputs
        self.embed = nn.Parameter(torch.randn(D, inputs, generator=generator) / math.sqrt(inputs))
        # Without it a single number x is embedded as x e, of which the norm of the first block keeps the sign alone.
        self.embed_bias = nn.Parameter(torch.randn(D, generator=generator))
        self.blocks = Blocks(config, generator)
        self.head = nn.Parameter(torch.randn(outputs, D, generator=generator) / math.sqrt(D))
        self.head_bias = nn.Parameter(torch.zeros(outputs))

    def forward(
        self,
        values: Float[Tensor, "B S F"],
        mask: Bool[Tensor, "B S"] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "B S G"], dict[str, Tensor]]:
        """Return the predictions at each token, [B, S, G], and the metrics of the routers (`Blocks`).

        Parameters
        ----------
        values
            Inputs in the task's unit, [B, S, F] with F = ``n_inputs``; for a signal of single numbers F = 1.
        mask
            False where a token is padding, [B, S]; None: nowhere.
        generator
            What noise and dropout are drawn from in training; not read without them.

        Raises
        ------
        ValueError
            If `values` or `mask` have another shape, dtype or device than this, that of the parameters; if what is
            not finite is at a token that is no padding; if the generator is missing.
        """
        check_tokens("values", values, mask, self.config.n_inputs, "n_inputs", self.embed)
        real = zeroed(values, mask)
        if not exporting() and not bool(real.isfinite().all()):
            raise ValueError(
                "values must be finite at every token that is no padding; mark missing ones by mask, or fill them in"
            )
        x, metrics = self.blocks(linear(real, self.embed, self.embed_bias), mask, generator)
        return linear(x, self.head, self.head_bias), metrics

    def extended(
        self, values: Float[Tensor, "N F"], reading: Reading, pasts: Sequence[KeyValues]
    ) -> Float[Tensor, "sequences G"]:
        """Return the predictions at the last of the new tokens of each sequence, as `forward` does in evaluation.

        Parameters
        ----------
        values
            The new tokens of all sequences, one sequence after the other, [N, F].
        reading
            Which sequences they belong to.
        pasts
            The cache of each block.

        Raises
        ------
        ValueError
            If attention is not causal, or a router looks at other tokens.
        """
        x = self.blocks.extended(F.linear(values, self.embed, self.embed_bias), reading, pasts)
        return F.linear(x.index_select(0, reading.last), self.head, self.head_bias)


class MoELanguageModel(nn.Module):
    """A causal transformer that reads symbols and predicts, at each token, the logits of the next.

    Parameters
    ----------
    config
        Vocabulary, layers and blocks. Attention must be causal and tokens must choose their experts, so that no token
        depends on a later one; Sinkhorn's plan and an order-agnostic capacity do so, but in training only.
    generator
        What the parameters are drawn from, on the CPU.

    Raises
    ------
    ValueError
        If `config` is no `ModelConfig`, or `generator` is no generator of the CPU; if there is no vocabulary; if
        attention is not causal, or experts choose their tokens.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__()
        check_construction(config, ModelConfig, generator)
        self.config = config
        self.vocabulary, D = _causal_vocabulary(config), config.block.moe.d_model
        self.embed = nn.Parameter(torch.randn(self.vocabulary, D, generator=generator))
        self.blocks = Blocks(config, generator)
        self.head = nn.Parameter(torch.randn(self.vocabulary, D, generator=generator) / math.sqrt(D))

    def forward(
        self,
        symbols: Int64[Tensor, "B S"],
        mask: Bool[Tensor, "B S"] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "B S V"], dict[str, Tensor]]:
        """Return the logits at each token, [B, S, V], and the metrics of the routers (`Blocks`).

        Parameters
        ----------
        symbols
            Indices in [0, V), those of padding too, int64 [B, S].
        mask
            False where a token is padding, [B, S]; None: nowhere.
        generator
            What noise and dropout are drawn from in training; not read without them.

        Raises
        ------
        ValueError
            If `symbols` or `mask` have another shape, dtype or device than this, that of the parameters; if a symbol
            is not in the vocabulary; if the generator is missing.
        """
        arguments.tensors(symbols=symbols)
        if (symbols.ndim, symbols.dtype, symbols.device) != (2, torch.int64, self.embed.device):
            raise ValueError(
                f"symbols must be torch.int64 [B, S] on {self.embed.device}, but are {described(symbols)}"
            )
        check_mask(mask, symbols.shape, symbols.device)
        known = exporting() or not symbols.numel()
        least, most = (0, 0) if known else (int(end) for end in symbols.aminmax())
        if least < 0 or most >= self.vocabulary:
            raise ValueError(
                f"symbols must be in [0, {self.vocabulary}), as vocab_size says, but reach from {least} to {most}"
            )
        x, metrics = self.blocks(F.embedding(symbols, self.embed), mask, generator)
        return linear(x, self.head), metrics

    def extended(
        self, symbols: Int64[Tensor, " N"], reading: Reading, pasts: Sequence[KeyValues]
    ) -> Float[Tensor, "sequences V"]:
        """Return the logits at the last of the new tokens of each sequence, as `forward` does in evaluation.

        Parameters
        ----------
        symbols
            The new symbols of all sequences, one sequence after the other, in [0, V), [N].
        reading
            Which sequences they belong to.
        pasts
            The cache of each block.

        Raises
        ------
        ValueError
            If a router looks at other tokens (tokens are dealt round robin).
        """
        x = self.blocks.extended(F.embedding(symbols, self.embed), reading, pasts)
        return F.linear(x.index_select(0, reading.last), self.head)


def _causal_vocabulary(config: ModelConfig) -> int:
    """Return the vocabulary size; refuse what would let a token depend on a later one."""
    block = config.block
    if config.vocab_size is None:
        raise ValueError("vocab_size of a language model is missing; set it to the number of symbols")
    if not block.attention.causal:
        raise ValueError(
            "causal of a language model's attention is false, but then each token sees the symbol that it predicts; "
            "set it to true"
        )
    router_type = block.moe.router.router_type
    if block.feed_forward == "moe" and not router_class(router_type).tokens_choose:
        raise ValueError(
            f"router_type of a language model is {router_type}, but then the experts of a token depend on later ones; "
            "choose topk, bias or sinkhorn"
        )
    return config.vocab_size
