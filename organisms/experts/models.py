"""Models of the family: sequences of continuous values, and sequences of symbols."""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import arguments
from kernels.linear import linear
from organisms.experts.block import Blocks
from organisms.experts.config import ModelConfig
from organisms.experts.routing.build import router_class
from organisms.layers.checks import check_making, check_mask, check_tokens, told, zeroed


class MoESequenceRegressor(nn.Module):
    """Reads F numbers at each token, a signal's one or a point's three, and predicts numbers at each.

    Parameters
    ----------
    config
        Numbers per token, layers and blocks.
    generator
        What the parameters are drawn from, on the CPU.

    Raises
    ------
    ValueError
        If configuration or generator are none.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__()
        check_making(config, ModelConfig, generator)
        self.config = config
        D, inputs, outputs = config.block.moe.d_model, config.n_inputs, config.n_outputs or config.n_inputs
        self.embed = nn.Parameter(torch.randn(D, inputs, generator=generator) / math.sqrt(inputs))
        # Without it a single number x would be x e, of which the norm of the first block leaves the sign alone.
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
        """Give the predictions at each token, and the metrics of the routers (`Blocks`).

        Parameters
        ----------
        values
            What is read, in the task's unit, [B, S, F] with F = ``n_inputs``; a signal of single numbers has F = 1.
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
        if not bool(real.isfinite().all()):
            raise ValueError(
                "values must be finite at every token that is no padding; mark missing ones by mask, or fill them in"
            )
        x, metrics = self.blocks(linear(real, self.embed, self.embed_bias), mask, generator)
        return linear(x, self.head, self.head_bias), metrics


class MoELanguageModel(nn.Module):
    """Reads symbols and gives, at each token, logits of the next one.

    Parameters
    ----------
    config
        Vocabulary, layers and blocks, in which no token sees a later one: the next symbol is what is asked for.
        Sinkhorn's plan and an order-agnostic capacity look at all tokens, but in training only.
    generator
        What the parameters are drawn from, on the CPU.

    Raises
    ------
    ValueError
        If configuration or generator are none; if there is no vocabulary; if attention is not causal, or experts
        choose their tokens.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__()
        check_making(config, ModelConfig, generator)
        self.config = config
        self.vocabulary, D = _symbols_of(config), config.block.moe.d_model
        self.embed = nn.Parameter(torch.randn(self.vocabulary, D, generator=generator))
        self.blocks = Blocks(config, generator)
        self.head = nn.Parameter(torch.randn(self.vocabulary, D, generator=generator) / math.sqrt(D))

    def forward(
        self,
        symbols: Int64[Tensor, "B S"],
        mask: Bool[Tensor, "B S"] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "B S V"], dict[str, Tensor]]:
        """Give the logits at each token, and the metrics of the routers (`Blocks`).

        Parameters
        ----------
        symbols
            In [0, V), padding too, [B, S].
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
                f"symbols must be torch.int64 [B, S] on {self.embed.device}, but are {told(symbols)}"
            )
        check_mask(mask, symbols.shape, symbols.device)
        least, most = (int(end) for end in symbols.aminmax()) if symbols.numel() else (0, 0)
        if least < 0 or most >= self.vocabulary:
            raise ValueError(
                f"symbols must be in [0, {self.vocabulary}), as vocab_size says, but reach from {least} to {most}"
            )
        x, metrics = self.blocks(F.embedding(symbols, self.embed), mask, generator)
        return linear(x, self.head), metrics


def _symbols_of(config: ModelConfig) -> int:
    """Give the number of symbols, after seeing that no token learns of a later one."""
    block = config.block
    if config.vocab_size is None:
        raise ValueError("vocab_size of a language model is missing; set it to the number of symbols")
    if not block.attention.causal:
        raise ValueError(
            "causal of a language model's attention is false, but then each token sees the symbol that it shall give; "
            "set it to true"
        )
    router_type = block.moe.router.router_type
    if block.feed_forward == "moe" and not router_class(router_type).tokens_choose:
        raise ValueError(
            f"router_type of a language model is {router_type}, but then the experts of a token depend on later ones; "
            "choose topk, bias or sinkhorn"
        )
    return config.vocab_size
