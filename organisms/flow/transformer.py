"""A causal transformer with a flow in each block.

Shape suffixes: B examples, S tokens, L layers, V vocabulary, D width.
"""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from kernels.linear import linear
from organisms.flow.attention import WindowedAttention
from organisms.flow.flow_layer import FlowLayer
from organisms.flow.sequences import check_ids, check_length, generator_or_default
from organisms.flow.whole_numbers import count
from organisms.layers.config import ExpertConfig
from organisms.layers.dense_ffn import DenseFFN
from organisms.layers.norms import RMSNorm


class EnhancedFlowTransformer(nn.Module):
    """x <- x + attention(norm(x)), x <- x + flow(norm(x)), x <- x + ffn(norm(x)) in each block.

    Attention sees all tokens up to its own, so that the cost grows with S^2; flows see a sliding window. There is no
    memory. The number of heads is brought to a divisor of the width (`adjust_num_heads`).

    Differs from the document: there the head is an attention as wide as the vocabulary, whose heads are adjusted too.

    Parameters
    ----------
    vocab_size, d_model, num_layers, max_seq_len
        V, D, L and the longest sequence; numbers or tensors of one element.
    num_heads
        Heads that are wanted.
    num_patterns, base_sparsity, num_channels
        Of the flows, as `FlowLayer` takes them.
    window
        Of the flows, in tokens.
    generator
        What the parameters are drawn from, on the CPU; None: a new one of seed 0.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on, the sparsity no share, or `generator` no generator of the CPU.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        num_layers: int,
        max_seq_len: int,
        *,
        num_heads: int = 8,
        num_patterns: int = 16,
        base_sparsity: float = 0.1,
        num_channels: int = 2,
        window: int = 128,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        V, D, L = (
            count("vocab_size", vocab_size),
            count("d_model", d_model),
            count("num_layers", num_layers),
        )
        self.vocab_size, self.max_seq_len = V, count("max_seq_len", max_seq_len)
        stream = generator_or_default(generator)
        self.embed = nn.Parameter(torch.randn(V, D, generator=stream))
        self.blocks = nn.ModuleList()
        for _ in range(L):
            attention = WindowedAttention(D, num_heads, causal=True, generator=stream, n_layers=L)
            flow = FlowLayer(
                D,
                D,
                num_patterns,
                base_sparsity,
                num_channels=num_channels,
                window=count("window", window),
                causal=True,
                generator=stream,
                n_layers=L,
            )
            expert = ExpertConfig(d_model=D, d_hidden=4 * D, activation="gelu")
            self.blocks.append(_Block(attention, flow, DenseFFN(expert, stream, n_layers=L), D))
        self.norm = RMSNorm(D)
        self.head = nn.Parameter(torch.randn(V, D, generator=stream) / math.sqrt(D))

    def forward(self, input_ids: Int64[Tensor, "B S"]) -> tuple[Float[Tensor, "B S V"], dict[str, Tensor]]:
        """Return the logits at each token, [B, S, V], and the flows' metrics, stacked, [L, ...].

        Raises
        ------
        ValueError
            If `input_ids` are not int64 [B, S] in [0, V), S being at most `max_seq_len`, on the parameters' device.
        """
        check_ids(input_ids, self.vocab_size, self.embed.device)
        check_length(input_ids, self.max_seq_len, "make a model of a larger one")
        x, found = F.embedding(input_ids, self.embed), []
        for block in self.blocks:
            x, metrics = block(x)
            found.append(metrics)
        stacked = {name: torch.stack([each[name] for each in found]) for name in found[0]}
        return linear(self.norm(x), self.head), stacked


class _Block(nn.Module):
    """One block: three parts, each behind a norm of its own and beside the residual stream."""

    def __init__(
        self, attention: WindowedAttention, flow: FlowLayer, feed_forward: DenseFFN, width: int
    ) -> None:
        super().__init__()
        self.attention, self.flow, self.feed_forward = attention, flow, feed_forward
        self.attention_norm, self.flow_norm, self.feed_forward_norm = (RMSNorm(width) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = x + self.attention(self.attention_norm(x))
        moved, metrics = self.flow(self.flow_norm(x), materialize=False)
        x = x + moved
        return x + self.feed_forward(self.feed_forward_norm(x)), metrics
