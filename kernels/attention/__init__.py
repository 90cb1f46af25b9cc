"""Multi-head attention with a scale and a window per head, and statistics of where each head attends."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from kernels import backends
from kernels.attention import reference, short, torch_path
from kernels.attention.arguments import checked
from kernels.attention.triton import path as triton_path
from kernels.attention.visibility import Path, Visibility
from kernels.exporting import exporting
from kernels.first_order import first_order

__all__ = ["Attention", "AttentionStatistics", "attention", "attention_weights"]

DIFFERENTIABLE: dict[str, Path] = {"torch": torch_path, "triton": triton_path}


@dataclass(frozen=True, slots=True, eq=False)
class AttentionStatistics:
    """Where each head attends and how sharply; each [H], a mean over examples and over queries that see a key.

    p are the weights of a query at x_i; none of the numbers has a gradient.
    """

    span: Tensor  # sum_j p_j |x_i - x_j|, in the unit of the positions
    locality: Tensor  # sqrt(sum_j p_j |x_j - m|^2) with m = sum_j p_j x_j, in the unit of the positions
    entropy: Tensor  # -sum_j p_j log p_j, nats
    sum_squares: Tensor  # sum_j p_j^2
    largest: Tensor  # max_j p_j


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """Result of `attention`; None is what was not asked for."""

    output: Tensor  # [B, H, S, W]
    # [B, H, S]: log sum_j exp(scale q k_j) over the keys that are seen, nats; it has no gradient.
    lse: Tensor | None
    statistics: AttentionStatistics | None


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: Tensor | float | None = None,
    causal: bool = False,
    window: Tensor | None = None,
    key_mask: Tensor | None = None,
    positions: Tensor | None = None,
    statistics: bool = False,
    lse: bool = False,
    backend: str = "auto",
) -> Attention:
    """Attend to the visible keys: softmax(scale q k^T) v, with statistics of where each head attends.

    A query that sees no key has an output of zeros, a log-sum-exp of -inf and no gradient, and statistics do not
    count it. Hidden keys and their values must be finite all the same. Half-precision inputs are computed with in
    float32, under autocast too. On every path but the reference memory grows with S, not with S x S, forward and
    backward; up to 32 tokens the weights may be kept. Gradients flow from the output to q, k and v.

    Parameters
    ----------
    q, k
        Queries and keys, [B, H, S, R]. Strides may be any, as those of v; up to 32 tokens they may change last bits.
    v
        Values, [B, H, S, W], of the same dtype; W need not equal R.
    scale
        Factor of the scores: one number, or one for each head, [H]; None: 1 / sqrt(R).
    causal
        Hide the keys after the query.
    window
        A query sees the keys at a distance under this, in the unit of the positions, [H]; None: at any.
    key_mask
        True where a key may be seen, bool [B, S]; None: all may.
    positions
        Where the tokens are, [S, P] with P at most 3, for Euclidean distances; None: at 0, 1, ..., S - 1.
    statistics
        Whether to return where each head attends, and how sharply.
    lse
        Whether to return the log-sum-exp of the scores.
    backend
        "reference" (whole matrix), "torch", "triton", or "auto": triton for CUDA tensors where it is installed,
        else torch.

    Raises
    ------
    ValueError
        If an argument has another device, dtype or shape than this, scale asks for a gradient, the backend is
        not known or cannot do what is asked, or the reference would need a matrix of more than 16 GiB.
    """
    path, visibility = checked(q, k, v, scale, causal, window, key_mask, positions, backend)
    with backends.exact(q):
        return _attended(q, k, v, path, visibility, statistics, lse)


def attention_weights(
    q: Tensor,
    k: Tensor,
    *,
    scale: Tensor | float | None = None,
    causal: bool = False,
    window: Tensor | None = None,
    key_mask: Tensor | None = None,
    positions: Tensor | None = None,
) -> Float[Tensor, "B H S S"]:
    """Return the whole matrix of weights softmax(scale q k^T), for looking at short sequences.

    Queries are rows, zero where no key is seen.

    Parameters
    ----------
    q, k, scale, causal, window, key_mask, positions
        As `attention` takes them.

    Raises
    ------
    ValueError
        As `attention` does.
    """
    _, visibility = checked(q, k, k, scale, causal, window, key_mask, positions, "reference")
    wide, seen = visibility.scale.dtype, reference.visible(visibility, q.shape[2])
    with backends.exact(q):
        return reference.attention_weights(q.to(wide), k.to(wide), visibility.scale, seen)


def _attended(
    q: Tensor, k: Tensor, v: Tensor, path: str, visibility: Visibility, statistics: bool, lse: bool
) -> Attention:
    if exporting():
        path = "reference"
    if path == "torch" and not statistics and short.serves(q):
        return Attention(*short.forward(q, k, v, visibility, lse), None)
    if path == "reference":
        output, log_sum, per_query = reference.forward(q, k, v, visibility, statistics)
    else:
        output, log_sum, per_query = _Attend.apply(q, k, v, visibility, DIFFERENTIABLE[path], statistics)
    measured = None if per_query is None else _averaged(per_query, log_sum)
    return Attention(output, log_sum if lse else None, measured)


class _Attend(torch.autograd.Function):
    """A path under autograd: it keeps no weights, only what they are recomputed from."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor, Tensor | None]:
        q, k, v, visibility, ctx.path, statistics = arguments
        output, lse, per_query = ctx.path.forward(q, k, v, visibility, statistics)
        ctx.causal = visibility.causal
        # All of them, so that a change between forward and backward is noticed.
        masks = (visibility.scale, visibility.window, visibility.key_mask, visibility.positions)
        ctx.save_for_backward(q, k, v, output, lse, *masks)
        ctx.mark_non_differentiable(*(extra for extra in (lse, per_query) if extra is not None))
        return output, lse, per_query

    @staticmethod
    @first_order
    def backward(ctx: Any, grad_output: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, scale, window, key_mask, positions = ctx.saved_tensors
        visibility = Visibility(scale, ctx.causal, window, key_mask, positions)
        gradients = ctx.path.backward(grad_output, *tensors, visibility)
        return (*gradients, None, None, None)


def _averaged(per_query: Tensor, lse: Tensor) -> AttentionStatistics:
    """Average [5, B, H, S] over the examples and the queries that see a key."""
    sees = lse != -torch.inf  # what is not a number is seen: it is not hidden in a mean
    counted = torch.where(sees, per_query, 0.0).double().sum((1, 3)) / sees.sum((0, 2)).clamp_min(1)
    return AttentionStatistics(*counted.to(per_query.dtype))
