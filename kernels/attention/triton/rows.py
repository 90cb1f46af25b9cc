"""Rows of queries, keys, values and gradients inside the Triton kernels, loaded and stored a tile at a time.

A head's rows lie one after the other; `first` is the number of its first one in memory, `index` are the rows of the
tile, and of the `padded` columns of a tile, a power of two, the first `width` are there.
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def load_rows(pointer, first, index, inside, width: tl.constexpr, padded: tl.constexpr):
    """Read the rows that are inside; the others, and the padding, are zeros.

    Parameters
    ----------
    pointer
        The tensor, as rows of `width` numbers.
    first
        Number of the head's first row.
    index
        Rows of the tile, counted from `first`.
    inside
        Which of them are there.
    width, padded
        Columns of a row, and of a tile.
    """
    column = tl.arange(0, padded)
    at = pointer + first * width + index[:, None] * width + column[None, :]
    return tl.load(at, mask=inside[:, None] & (column[None, :] < width), other=0.0)


@triton.jit
@no_type_check
def store_rows(pointer, values, first, index, inside, width: tl.constexpr, padded: tl.constexpr):
    """Write the rows that are inside, in the type of the memory.

    Parameters
    ----------
    pointer
        The tensor, as rows of `width` numbers.
    values
        What to write, a tile.
    first
        Number of the head's first row.
    index
        Rows of the tile, counted from `first`.
    inside
        Which of them are there.
    width, padded
        Columns of a row, and of a tile.
    """
    column = tl.arange(0, padded)
    at = pointer + first * width + index[:, None] * width + column[None, :]
    values = values.to(pointer.dtype.element_ty)
    tl.store(at, values, mask=inside[:, None] & (column[None, :] < width))
