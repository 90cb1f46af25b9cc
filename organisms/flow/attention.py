"""Attention among the tokens of a window, and of one sequence to another.

Shape suffixes: B examples, S and T tokens, H heads, R width of a head.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from kernels.attention import attention
from kernels.linear import linear
from organisms.flow.heads import adjust_num_heads
from organisms.flow.past import LayerPast
from organisms.flow.sequences import check_sequence, generator_or_default
from organisms.flow.stretch import Stretch
from organisms.flow.whole_numbers import count
from organisms.layers.initialisation import drawn
from organisms.layers.rotary import RoPE


class WindowedAttention(nn.Module):
    """Multi-head self-attention to the tokens at a distance under a window; its cost grows with S times the window.

    Queries and keys are rotated by their positions, so that only distances matter.

    Parameters
    ----------
    d_model
        Width of the tokens, D.
    num_heads
        H, brought to a divisor of D (`adjust_num_heads`); of an odd width of heads one coordinate is not rotated.
    window
        In tokens; None: a token sees all.
    causal
        Whether a token sees itself and earlier ones only.
    generator
        What the matrices are drawn from, on the CPU; None: a new one of seed 0.
    n_layers
        L, the layers of the model, for the scaled initialisation.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on, or `generator` no generator of the CPU.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        window: int | None = None,
        causal: bool = False,
        generator: torch.Generator | None = None,
        n_layers: int = 1,
    ) -> None:
        super().__init__()
        stream = generator_or_default(generator)
        self.num_heads = adjust_num_heads(d_model, num_heads)
        self.window, self.causal = None if window is None else count("window", window), causal
        self.rope = _rope(d_model // self.num_heads)
        fans = (d_model, d_model)
        self.read = nn.Parameter(drawn((3 * d_model, d_model), fans, "scaled_xavier", stream))
        self.write = nn.Parameter(
            drawn((d_model, d_model), fans, "scaled_xavier", stream, writes_of=n_layers)
        )

    def forward(self, x: Float[Tensor, "B S D"]) -> Float[Tensor, "B S D"]:
        """Return what every token attends to, [B, S, D].

        Raises
        ------
        ValueError
            If `x` has another shape, dtype or device than this, that of the parameters.
        """
        check_sequence("x", x, self.read.shape[1], "d_model", self.read)
        q, k, v = (_heads(each, self.num_heads) for each in linear(x, self.read).chunk(3, -1))
        if self.rope is not None:
            q, k = self.rope(q, k)
        # A window that hides nothing is left out: torch's fused kernel knows none.
        limited = self.window is not None and self.window < x.shape[1]
        window = x.new_full((self.num_heads,), float(self.window or 0)) if limited else None
        return linear(_joined(attention(q, k, v, causal=self.causal, window=window).output), self.write)

    def extended(
        self, h: Float[Tensor, "n S D"], stretch: Stretch, past: LayerPast
    ) -> Float[Tensor, "n S D"]:
        """Return what new tokens attend to in the windows of their sequences, [n, S, D].

        Parameters
        ----------
        h
            The tokens.
        stretch
            Whose they are.
        past
            Keys and values of the tokens before, to which those of the new ones are added.
        """
        # Torch's product, not the faster one of two: which that is depends on how many sequences there are.
        q, k, v = (_heads(each, self.num_heads) for each in F.linear(h, self.read).chunk(3, -1))
        q, k = stretch.rotated(q, self.rope), stretch.rotated(k, self.rope)
        keys, values = past.write(stretch, "keys", k), past.write(stretch, "values", v)
        return F.linear(stretch.attended(q, keys, values, ~stretch.seen), self.write)


class CrossAttention(nn.Module):
    """Multi-head attention of the tokens of one sequence to those of another; positions play no part.

    Parameters
    ----------
    d_model
        Width of both, D.
    num_heads
        H, brought to a divisor of D (`adjust_num_heads`).
    generator
        What the matrices are drawn from, on the CPU; None: a new one of seed 0.
    n_layers
        L, the layers of the model, for the scaled initialisation.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on, or `generator` no generator of the CPU.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        generator: torch.Generator | None = None,
        n_layers: int = 1,
    ) -> None:
        super().__init__()
        stream = generator_or_default(generator)
        self.num_heads = adjust_num_heads(d_model, num_heads)
        fans = (d_model, d_model)
        self.query = nn.Parameter(drawn((d_model, d_model), fans, "scaled_xavier", stream))
        self.read = nn.Parameter(drawn((2 * d_model, d_model), fans, "scaled_xavier", stream))
        self.write = nn.Parameter(
            drawn((d_model, d_model), fans, "scaled_xavier", stream, writes_of=n_layers)
        )

    def forward(self, x: Float[Tensor, "B S D"], context: Float[Tensor, "B T D"]) -> Float[Tensor, "B S D"]:
        """Return what every token of `x` attends to in `context`, [B, S, D].

        Raises
        ------
        ValueError
            If one of them has another shape, dtype or device than this, that of the parameters.
        """
        check_sequence("x", x, self.read.shape[1], "d_model", self.read)
        check_sequence("context", context, self.read.shape[1], "d_model", self.read)
        if x.shape[0] != context.shape[0]:
            raise ValueError(
                f"context must have a sequence for each of x, {len(x)}, but has {len(context)}; expand it"
            )
        q = _heads(linear(x, self.query), self.num_heads)
        k, v = (_heads(each, self.num_heads) for each in linear(context, self.read).chunk(2, -1))
        # The kernel wants as many queries as keys: the fewer are padded, keys are hidden.
        S, T = q.shape[2], k.shape[2]
        q, k, v = (F.pad(each, (0, 0, 0, max(S, T) - each.shape[2])) for each in (q, k, v))
        real = (torch.arange(max(S, T), device=x.device) < T).expand(x.shape[0], -1)
        output = attention(q, k, v, key_mask=None if S <= T else real).output
        return linear(_joined(output[:, :, :S]), self.write)

    def looked_at(self, context: Float[Tensor, "B T D"]) -> tuple[Tensor, Tensor]:
        """Return keys and values of a context, [B, H, T, R] each, for `extended`."""
        k, v = (_heads(each, self.num_heads) for each in F.linear(context, self.read).chunk(2, -1))
        return k, v

    def extended(
        self, h: Float[Tensor, "n S D"], keys: Tensor, values: Tensor, stretch: Stretch
    ) -> Float[Tensor, "n S D"]:
        """Return what new tokens attend to in contexts whose keys and values are there, [n, S, D].

        Parameters
        ----------
        h
            The tokens.
        keys, values
            As `looked_at` gives them, of the context of each sequence, [n, H, T, R].
        stretch
            Whose the tokens are.
        """
        q = _heads(F.linear(h, self.query), self.num_heads)
        return F.linear(stretch.attended(q, keys, values), self.write)


def _rope(width: int) -> RoPE | None:
    return RoPE(width - width % 2) if width > 1 else None


def _heads(x_BSD: Tensor, H: int) -> Tensor:
    return x_BSD.unflatten(-1, (H, -1)).transpose(1, 2)


def _joined(x_BHSR: Tensor) -> Tensor:
    return x_BHSR.transpose(1, 2).flatten(2)
