"""What computes attention for pseudopods; users may bring their own.

Shape suffixes: B examples, C slots, S tokens, R and W sizes of a head.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.attention import attention


@dataclass(frozen=True, slots=True, eq=False)
class Visible:
    """Which keys the queries see, the same in every layer; None: all."""

    causal: bool = False  # keys after the query are hidden
    keys: Tensor | None = None  # bool [B, S], True where a key may be seen
    bias: Tensor | None = None  # added to the scores, broadcast to [B, C, S, S]; -inf hides


@runtime_checkable
class Kernel(Protocol):
    """Attention: softmax(q k^T + bias) v over the keys that are seen."""

    def attention(self, q: Tensor, k: Tensor, v: Tensor, visible: Visible, dropout: float) -> Tensor:
        """Return what each head attends to, [B, C, S, W].

        Parameters
        ----------
        q, k
            Queries, already scaled, and keys, [B, C, S, R].
        v
            Values, [B, C, S, W].
        visible
            Which keys the queries see.
        dropout
            Share of the weights that is dropped.
        """
        ...


@dataclass(frozen=True, slots=True)
class TorchKernel:
    """`kernels.attention` where it can do what is asked, which is without a bias and dropout; else torch's own."""

    def attention(self, q: Tensor, k: Tensor, v: Tensor, visible: Visible, dropout: float) -> Tensor:
        """Return what each head attends to, [B, C, S, W].

        Parameters
        ----------
        q, k, v, visible, dropout
            As `Kernel` takes them.
        """
        if visible.bias is None and not dropout:
            return attention(q, k, v, scale=1.0, causal=visible.causal, key_mask=visible.keys).output
        alone = visible.bias is None and visible.keys is None  # causality has a faster way
        bias = None if alone else merged(visible, q)
        causal = visible.causal and alone
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=bias, dropout_p=dropout, is_causal=causal, scale=1.0
        )


def merged(visible: Visible, q: Tensor) -> Tensor | None:
    """Return all that hides keys as one bias; None where nothing does."""
    if visible.bias is None and visible.keys is None and not visible.causal:
        return None
    bias = q.new_zeros(1, 1, 1, 1) if visible.bias is None else visible.bias.to(q.dtype)
    if visible.keys is not None:
        bias = bias.masked_fill(~visible.keys[:, None, None, :], -torch.inf)
    if visible.causal:
        S = q.shape[2]
        bias = bias.masked_fill(~torch.ones(S, S, dtype=torch.bool, device=q.device).tril(), -torch.inf)
    return bias
