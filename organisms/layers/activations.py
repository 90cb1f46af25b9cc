"""The activations between the two matrices of a feed-forward network, plain or gated, in one table.

A gated activation (Shazeer 2020, GLU Variants Improve Transformer, arXiv:2002.05202) reads two halves, a gate a and a
value b, and returns f(a) b; the first matrix of such a network has twice as many columns.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from organisms.layers.steady import steady


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation of a hidden layer.

    Parameters
    ----------
    function
        The elementwise nonlinearity f.
    gated
        Whether the input is a gate, to which f is applied, and a value that it multiplies.
    """

    function: Callable[[Tensor], Tensor]
    gated: bool = False

    def __call__(self, h: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch H"]:
        """Return f(h), or f(a) b for the halves a and b of h; P is H or 2 H."""
        if not self.gated:
            return self.function(h)
        gate, value = h.chunk(2, -1)
        return self.function(gate) * value

    def each(self, h: Float[Tensor, "N P"]) -> Float[Tensor, "N H"]:
        """Return the same for every row, in every bit as if it were the only one."""
        if not self.gated:
            return steady(self.function, h)
        gate, value = h.chunk(2, -1)
        return steady(self.function, gate) * value

    def width(self, hidden: int) -> int:
        """Return P, the columns of the first matrix, for H = `hidden` rows of the second."""
        return 2 * hidden if self.gated else hidden


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "gelu": Activation(F.gelu),
        "relu": Activation(F.relu),
        "silu": Activation(F.silu),
        "swiglu": Activation(F.silu, gated=True),
        "geglu": Activation(F.gelu, gated=True),
        "reglu": Activation(F.relu, gated=True),
    }
)
