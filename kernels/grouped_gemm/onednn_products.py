"""The two grouped products by oneDNN, where that is the faster library.

For each shape that oneDNN meets it compiles a kernel, which takes longer than to multiply a few hundred rows, and
groups have other sizes in every batch. So it is asked for few shapes: a multiple of STEP rows, at most BLOCK.
"""

from torch import Tensor

from kernels import onednn
from kernels.grouped_gemm.gradients import Products
from kernels.grouped_gemm.torch_products import sizes_of

STEP, BLOCK = 64, 1024
# Of a group, on average: with fewer rows too many are multiplied in vain, with narrower matrices too much of the
# time goes into copies, and with fewer products into calls.
ENOUGH_ROWS, ENOUGH_WIDTH, ENOUGH_PRODUCTS = 4 * STEP, 128, 2**24


def pays(x: Tensor, weights: Tensor) -> bool:
    """Whether, by their sizes, oneDNN multiplies x [M, K] and weights [G, K, N] faster, and their gradients."""
    groups, inner, columns = weights.shape
    enough = (
        len(x) >= groups * ENOUGH_ROWS
        and min(inner, columns) >= ENOUGH_WIDTH
        and len(x) * inner * columns >= groups * ENOUGH_PRODUCTS
    )
    return enough and onednn.multiplies(x) and onednn.faster()


def _rows(x: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
    rows, start = x.shape[0], 0
    y = x.new_empty(rows, weights.shape[2])
    for size, matrix in zip(sizes_of(offsets), weights.unbind(0), strict=True):
        for first in range(start, start + size, BLOCK):
            wanted = min(BLOCK, start + size - first)
            # To make up the step, rows of other groups are multiplied too, and left out.
            length = min(-(-wanted // STEP) * STEP, rows)
            begin = min(first, rows - length)
            found = onednn.product(x.narrow(0, begin, length), matrix.t())
            y.narrow(0, first, wanted).copy_(found.narrow(0, first - begin, wanted))
        start += size
    return y


def _outer(x: Tensor, y: Tensor, offsets: Tensor) -> Tensor:
    sizes, products = sizes_of(offsets), x.new_zeros(offsets.shape[0], x.shape[1], y.shape[1])
    for left, right, total in zip(x.split(sizes), y.split(sizes), products.unbind(0), strict=True):
        whole = len(left) // STEP * STEP
        if whole:
            total.copy_(onednn.outer(left[:whole], right[:whole]))
        if whole < len(left):  # here other groups' rows would count: MKL takes what is left over
            total.addmm_(left[whole:].mT, right[whole:])
    return products


PRODUCTS = Products(rows=_rows, outer=_outer)
