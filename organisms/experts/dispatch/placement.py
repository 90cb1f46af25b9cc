"""Gather and segment sum between places and rows, each the gradient of the other.

A place is a token, or a slot of padded rows. `spread` copies the vector of each place to its rows; `collected` sums
the rows of each place, weighted:

    spread(x)_m = x_p(m)                  collected(y, w)_p = sum over the rows m of place p of w_m y_m

Both read in any order and write in sequence. Nothing is scattered, so that no atomics are needed and the same inputs
give the same bits, forward and backward.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The place of each of M rows, of N places; a place has any number of rows.

    The rows have a second order: by place, and within a place in the order in which they are summed.
    """

    place_M: Tensor  # int64: the place of each row
    rows_M: Tensor  # int64: the rows in their second order
    rank_M: Tensor  # int64, the inverse permutation of rows_M: the index of each row in that order
    starts_N: Tensor  # int64: where the rows of each place begin in that order


def spread(x: Float[Tensor, "N D"], placement: Placement) -> Float[Tensor, "M D"]:
    """Return the vector of its place for each row."""
    return _Spread.apply(x, placement)


def collected(
    rows: Float[Tensor, "M D"], placement: Placement, weights: Float[Tensor, " M"] | None = None
) -> Float[Tensor, "N D"]:
    """Return the weighted sum of the rows of each place, zeros for a place without rows.

    Parameters
    ----------
    rows
        The rows, [M, D].
    placement
        Their places.
    weights
        Factor of each row, in the second order of the rows, of the dtype of `rows`, [M]; None: 1.
    """
    return _Collect.apply(rows, weights, placement)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, placement: Placement) -> Tensor:
        ctx.placement = placement
        return x.index_select(0, placement.place_M)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Collect.apply(grad, None, ctx.placement), None


class _Collect(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor | None, placement: Placement) -> Tensor:
        ctx.placement = placement
        ctx.save_for_backward(rows if ctx.needs_input_grad[1] else None, weights)
        # Places are its bags. It gathers, weights and sums in one pass over memory, in another order for rows with
        # other strides; its own gradient, which scatters, is not used.
        return torch.embedding_bag(
            rows.contiguous(), placement.rows_M, placement.starts_N, per_sample_weights=weights
        )[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (rows, weights), placement = ctx.saved_tensors, ctx.placement
        spread_MD = _Spread.apply(grad, placement)
        if weights is None:
            return spread_MD, None, None
        to_rows = to_weights = None
        if ctx.needs_input_grad[0]:
            to_rows = spread_MD * weights.index_select(0, placement.rank_M)[:, None]
        if ctx.needs_input_grad[1]:
            to_weights = torch.linalg.vecdot(spread_MD, rows).index_select(0, placement.rows_M)
        return to_rows, to_weights, None
