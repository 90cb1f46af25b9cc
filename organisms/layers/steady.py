"""Functions of single numbers whose results do not depend on how many other numbers are computed with them."""

from jaxtyping import Float
from torch import Tensor


def sigmoid(x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """1 / (1 + exp(-x)), in every bit the same for a number, whatever stands beside it.

    Torch's own sigmoid takes the last few numbers of a tensor by another function, which rounds otherwise. Its
    exponential does not, and sums and quotients are rounded correctly anywhere.
    """
    return 1 / (1 + (-x).exp())
