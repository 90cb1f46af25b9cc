"""Self-attention of several heads, with fewer heads for keys and values if so wished, and rotary positions.

Shape suffixes: B examples, S tokens, D width of the residual stream, H query heads, G heads of keys and values, R
width of a head.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kernels.attention import attention
from kernels.linear import linear
from organisms.layers.checks import check_tokens, zeroed
from organisms.layers.config import AttentionConfig
from organisms.layers.initialisation import drawn
from organisms.layers.rotary import Rotary


class SelfAttention(nn.Module):
    """Each of H query heads reads keys and values of head h G // H (Ainslie et al. 2023, grouped-query attention).

    G = H is multi-head attention (Vaswani et al. 2017), G = 1 multi-query attention (Shazeer 2019). One matrix
    `read` [(H + 2 G) R, D] makes queries, keys and values; `write` [D, H R] brings the heads' outputs back.

    Parameters
    ----------
    config
        Heads, positions, and what a token sees.
    d_model
        D; the heads share it evenly, R = D / H.
    generator
        What the matrices are drawn from.
    n_layers
        L of the model that this layer stands in, for the scaled initialisation.

    Raises
    ------
    ValueError
        If the heads cannot share D evenly, or have no such rotary width.
    """

    def __init__(
        self, config: AttentionConfig, d_model: int, generator: torch.Generator, *, n_layers: int = 1
    ) -> None:
        super().__init__()
        self.config = config
        self.heads, self.width = config.n_heads, config.head_width(d_model)
        self.shared = config.n_kv_heads or config.n_heads
        self.rotary = _rotary(config, self.width)
        columns, inner = (self.heads + 2 * self.shared) * self.width, self.heads * self.width
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
        """Mix what the visible tokens hold.

        Parameters
        ----------
        x
            Tokens, [B, S, D].
        mask
            False where a token is padding, which no token sees whatever it holds, [B, S]; None: nowhere.

        Raises
        ------
        ValueError
            If `x` or `mask` has another shape, dtype or device than this, that of the parameters.
        """
        check_tokens("x", x, mask, self.read.shape[1], "d_model", self.read)
        if not x.numel():
            return torch.zeros_like(x)  # attention refuses to mix nothing
        H, G = self.heads, self.shared
        heads_BSHR = linear(zeroed(x, mask), self.read, self.read_bias).unflatten(-1, (H + 2 * G, self.width))
        qk_BHSR, v_BGSR = heads_BSHR.transpose(1, 2).split((H + G, G), 1)
        if self.rotary is not None:
            qk_BHSR = self.rotary.turned(qk_BHSR)
        q_BHSR, k_BGSR = qk_BHSR.split((H, G), 1)
        k_BHSR, v_BHSR = (each.repeat_interleave(H // G, 1) for each in (k_BGSR, v_BGSR))
        mixed = attention(q_BHSR, k_BHSR, v_BHSR, causal=self.config.causal, key_mask=mask)
        return linear(mixed.output.transpose(1, 2).flatten(2), self.write, self.write_bias)


def _rotary(config: AttentionConfig, width: int) -> Rotary | None:
    if not config.rope:
        return None
    turned = config.rotary_dim or width
    return Rotary(turned, config.rope_base, config.rope_scaling, config.rope_factor, config.rope_trained)
