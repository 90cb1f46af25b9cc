"""The two grouped products in Triton: one program per tile of the result, which finds its group on the device.

The number of tiles of a group is known on the device only. The grid has as many programs as any offsets could
need, M // ROWS + G tiles of rows; those left over end at once. A program sums its tile in one order and alone,
so equal inputs give equal bits. The tiles are fixed, since choosing by timing would change the order of sums.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.grouped_gemm.gradients import Products

_ROWS, _COLUMNS, _INNER = 64, 64, 32  # of a tile
_LAUNCH = {"num_warps": 4, "num_stages": 3}


def _rows(x: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
    (rows, inner), (groups, _, columns) = x.shape, weights.shape
    y = x.new_empty(rows, columns)
    tiles = (rows // _ROWS + groups) * triton.cdiv(columns, _COLUMNS)
    with _device(x):
        _rows_kernel[(tiles,)](
            x, weights, offsets, y, rows, groups, inner, columns,
            *x.stride(), *weights.stride(), offsets.stride(0),
            ROWS=_ROWS, COLUMNS=_COLUMNS, INNER=_INNER, GROUPS=triton.next_power_of_2(groups), **_LAUNCH,
        )  # fmt: skip
    return y


def _outer(x: Tensor, y: Tensor, offsets: Tensor) -> Tensor:
    (rows, inner), columns, groups = x.shape, y.shape[1], offsets.shape[0]
    products = x.new_empty(groups, inner, columns)
    tiles = groups * triton.cdiv(inner, _ROWS) * triton.cdiv(columns, _COLUMNS)
    with _device(x):
        _outer_kernel[(tiles,)](
            x, y, offsets, products, rows, inner, columns,
            *x.stride(), *y.stride(), offsets.stride(0),
            ROWS=_ROWS, COLUMNS=_COLUMNS, INNER=_INNER, **_LAUNCH,
        )  # fmt: skip
    return products


PRODUCTS = Products(rows=_rows, outer=_outer)


def _device(tensor: Tensor) -> torch.cuda.device:
    """Make the tensor's device the current one, on which Triton launches; the CPU (-1) changes nothing."""
    return torch.cuda.device(tensor.device.index if tensor.is_cuda else -1)


@triton.jit
@no_type_check
def _rows_kernel(
    x, weights, offsets, y, rows, groups, inner, columns,
    x_row, x_inner, weights_group, weights_inner, weights_column, offsets_group,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr, GROUPS: tl.constexpr,
):  # fmt: skip
    """One tile of y = x W: rows of one group, ``sum over K`` in steps of INNER."""
    column_tiles = tl.cdiv(columns, COLUMNS)
    row_tile = tl.program_id(0) // column_tiles
    column = ((tl.program_id(0) % column_tiles) * COLUMNS + tl.arange(0, COLUMNS)).to(tl.int64)

    # All groups at once: which has the row tile with this number, and which rows are in that tile.
    group = tl.arange(0, GROUPS)
    ends = tl.load(offsets + group * offsets_group, mask=group < groups, other=0)
    starts = tl.load(offsets + (group - 1) * offsets_group, mask=(group > 0) & (group < groups), other=0)
    last_tiles = tl.cumsum((tl.maximum(ends - starts, 0) + ROWS - 1) // ROWS, 0)
    mine = tl.sum((last_tiles <= row_tile).to(tl.int32), 0)
    if mine < groups:
        before = tl.sum(tl.where(group == mine - 1, last_tiles, 0), 0)
        start = tl.sum(tl.where(group == mine, starts, 0), 0) + (row_tile - before) * ROWS
        end = tl.minimum(tl.sum(tl.where(group == mine, ends, 0), 0), rows)

        row = start + tl.arange(0, ROWS)
        inside = (row >= 0) & (row < end)
        step = tl.arange(0, INNER)
        x_tile = x + row[:, None] * x_row
        weights_tile = weights + mine.to(tl.int64) * weights_group + column[None, :] * weights_column
        total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        for first in range(0, inner, INNER):
            k = (first + step).to(tl.int64)
            left = tl.load(
                x_tile + k[None, :] * x_inner, mask=inside[:, None] & (k < inner)[None, :], other=0.0
            )
            right = tl.load(
                weights_tile + k[:, None] * weights_inner,
                mask=(k < inner)[:, None] & (column < columns)[None, :],
                other=0.0,
            )
            total = tl.dot(left, right, total, input_precision="ieee")
        tl.store(
            y + row[:, None] * columns + column[None, :],
            total.to(y.dtype.element_ty),
            mask=inside[:, None] & (column < columns)[None, :],
        )


@triton.jit
@no_type_check
def _outer_kernel(
    x, y, offsets, products, rows, inner, columns,
    x_row, x_inner, y_row, y_column, offsets_group,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """One tile of x^T y over the rows of one group, in steps of INNER; zeros for a group without rows."""
    row_tiles, column_tiles = tl.cdiv(inner, ROWS), tl.cdiv(columns, COLUMNS)
    group = (tl.program_id(0) // (row_tiles * column_tiles)).to(tl.int64)
    within = tl.program_id(0) % (row_tiles * column_tiles)
    row = ((within // column_tiles) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    column = ((within % column_tiles) * COLUMNS + tl.arange(0, COLUMNS)).to(tl.int64)

    start = tl.maximum(tl.load(offsets + (group - 1) * offsets_group, mask=group > 0, other=0), 0)
    end = tl.minimum(tl.load(offsets + group * offsets_group), rows)
    step = tl.arange(0, INNER)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for first in range(start, end, INNER):
        m = first + step
        left = tl.load(
            x + row[:, None] * x_inner + m[None, :] * x_row,
            mask=(row < inner)[:, None] & (m < end)[None, :],
            other=0.0,
        )
        right = tl.load(
            y + m[:, None] * y_row + column[None, :] * y_column,
            mask=(m < end)[:, None] & (column < columns)[None, :],
            other=0.0,
        )
        total = tl.dot(left, right, total, input_precision="ieee")
    tl.store(
        products + (group * inner + row[:, None]) * columns + column[None, :],
        total.to(products.dtype.element_ty),
        mask=(row < inner)[:, None] & (column < columns)[None, :],
    )
