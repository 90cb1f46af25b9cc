"""Multi-head self-attention with grouped queries and rotary position embedding.

Shape suffixes: B examples, S tokens, N new tokens of several sequences, D width of the residual stream, H query heads,
G heads of keys and values, R width of a head.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from kernels.attention import attention
from kernels.linear import linear
from organisms.layers.checks import check_tokens, zeroed
from organisms.layers.config import AttentionConfig
from organisms.layers.initialisation import drawn
from organisms.layers.key_values import KeyValues, Reading
from organisms.layers.rotary import RoPE


class SelfAttention(nn.Module):
    """Grouped-query attention: query head h uses keys and values of head h G // H (Ainslie et al. 2023).

    G = H is multi-head attention (Vaswani et al. 2017), G = 1 multi-query attention (Shazeer 2019). One matrix,
    `read` [(H + 2 G) R, D], projects to queries, keys and values; `write` [D, H R] projects the heads' outputs back.

    Parameters
    ----------
    config
        Heads, rotary positions, and whether attention is causal.
    d_model
        Width of the residual stream, D; R = D / H.
    generator
        What the matrices are drawn from.
    n_layers
        L, the layers of the model, for the scaled initialisation.

    Raises
    ------
    ValueError
        If H does not divide D, or a head has no such rotary width.
    """

    def __init__(
        self, config: AttentionConfig, d_model: int, generator: torch.Generator, *, n_layers: int = 1
    ) -> None:
        super().__init__()
        self.config = config
        self.n_heads, self.n_kv_heads = config.n_heads, config.n_kv_heads or config.n_heads
        self.head_width = config.head_width(d_model)
        self.rope = _rope(config, self.head_width)
        columns = (self.n_heads + 2 * self.n_kv_heads) * self.head_width
        inner = self.n_heads * self.head_width
        fans = (d_model, d_model)
        self.read = nn.Parameter(drawn((columns, d_model), fans, "scaled_xavier", generator))
        self.write = nn.Parameter(
            drawn((d_model, inner), fans, "scaled_xavier", generator, writes_of=n_layers)
        )
        self.read_bias = nn.Parameter(torch.zeros(columns)) if config.bias else None
        self.write_bias = nn.Parameter(torch.zeros(d_model)) if config.bias else None

    def forward(
        self, x: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B S D"]:
        """Return the attention output of every token, [B, S, D].

        Parameters
        ----------
        x
            Tokens, [B, S, D].
        mask
            False where a token is padding, which no token attends to, whatever it holds, [B, S]; None: nowhere.

        Raises
        ------
        ValueError
            If `x` or `mask` has another shape, dtype or device than this, that of the parameters.
        """
        check_tokens("x", x, mask, self.read.shape[1], "d_model", self.read)
        H, G, R = self.n_heads, self.n_kv_heads, self.head_width
        heads_BSHR = linear(zeroed(x, mask), self.read, self.read_bias).unflatten(-1, (H + 2 * G, R))
        qk_BHSR, v_BGSR = heads_BSHR.transpose(1, 2).split((H + G, G), 1)
        if self.rope is not None:
            qk_BHSR = self.rope.rotated(qk_BHSR)  # queries and keys in one pass
        q_BHSR, k_BGSR = qk_BHSR.split((H, G), 1)
        k_BHSR, v_BHSR = (each.repeat_interleave(H // G, 1) for each in (k_BGSR, v_BGSR))
        if x.numel():
            mixed_BHSR = attention(q_BHSR, k_BHSR, v_BHSR, causal=self.config.causal, key_mask=mask).output
        else:  # the kernel refuses empty tensors; parameters have gradients all the same, of zeros
            mixed_BHSR = q_BHSR
        return linear(mixed_BHSR.transpose(1, 2).flatten(2), self.write, self.write_bias)

    def new_cache(self, slots: int) -> KeyValues:
        """Return an empty cache for so many sequences, of the dtype and device of the parameters."""
        return KeyValues(slots, self.n_kv_heads, self.head_width, self.read)

    def extended(self, x: Float[Tensor, "N D"], reading: Reading, past: KeyValues) -> Float[Tensor, "N D"]:
        """Return the attention output of new tokens, [N, D], as `forward` has for them at the end of their sequences.

        Parameters
        ----------
        x
            The new tokens of all sequences, one sequence after the other, [N, D].
        reading
            Which sequences they belong to.
        past
            Keys, after rotation, and values of the tokens before, to which those of the new ones are added.

        Raises
        ------
        ValueError
            If attention is not causal, because then earlier tokens would have to be computed anew.
        """
        if not self.config.causal:
            raise ValueError(
                "attention must be causal to be extended: without it the next token changes all before it"
            )
        H, G = self.n_heads, self.n_kv_heads
        # Torch's product, not the faster one of the two: which that is depends on how many sequences there are.
        heads_NHR = F.linear(x, self.read, self.read_bias).unflatten(-1, (H + 2 * G, self.head_width))
        qk_NHR, v_NGR = heads_NHR.split((H + G, G), 1)
        if self.rope is not None:
            settings = self.rope.extra_repr()  # layers alike need the same
            if settings not in reading.turns:
                reading.turns[settings] = self.rope.turns(reading.position_N, x.dtype)
            qk_NHR = self.rope.turned(qk_NHR.transpose(0, 1), reading.turns[settings]).transpose(0, 1)
        q_NHR, k_NGR = qk_NHR.split((H, G), 1)
        past.write(reading, k_NGR, v_NGR)
        return F.linear(past.attended(reading, q_NHR).flatten(1), self.write, self.write_bias)


def _rope(config: AttentionConfig, width: int) -> RoPE | None:
    if not config.rope:
        return None
    rotated = config.rotary_dim or width
    return RoPE(rotated, config.rope_base, config.rope_scaling, config.rope_factor, config.rope_trained)
