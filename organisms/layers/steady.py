"""Functions of numbers and rows, in every bit the same for each, whatever stands beside it.

Torch computes the last few numbers of a tensor, those that fill no register, and those whose rows lie apart, by other
functions than the rest, which round otherwise; and small products by a loop that sums in another order.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

FEWEST, SMALL = 2, 400  # of one row, and under 400 multiplications, torch sums a product in another order
FULL = 64  # numbers that fill registers of every width, however many of them a loop takes at once


def sigmoid(x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """1 / (1 + exp(-x)): torch's exponential is steady, and sums and quotients are rounded correctly anywhere."""
    return 1 / (1 + (-x).exp())


def steady(function: Callable[[Tensor], Tensor], x: Float[Tensor, "*batch W"]) -> Float[Tensor, "*batch W"]:
    """Return an elementwise function of numbers, computed in rows that leave no register half empty.

    Parameters
    ----------
    function
        Of tensors of any shape.
    x
        The numbers, [..., W].
    """
    width = x.shape[-1]
    if width % FULL == 0:
        return function(x.contiguous())
    return function(F.pad(x, (0, -width % FULL)))[..., :width]


def filled(x: Float[Tensor, "n heads M R"], each: int) -> Float[Tensor, "n heads M2 R"]:
    """Return rows of a product with zeros behind them, enough for the same order of sums at any number of rows.

    Parameters
    ----------
    x
        The rows, [n, heads, M, R].
    each
        Multiplications that one of them costs in each product.
    """
    rows = max(x.shape[2], FEWEST, -(-SMALL // each))
    return F.pad(x, (0, 0, 0, rows - x.shape[2]))
