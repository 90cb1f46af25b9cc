"""What stands between the two matrices of a feed-forward network, plain or gated, in one table.

A gated one reads two halves, a gate a and a value b, and gives f(a) b (Shazeer 2020, arXiv:2002.05202): such a
network has a first matrix twice as wide.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of a hidden layer.

    Parameters
    ----------
    bend
        What is applied to each number, or to each number of the first half.
    gated
        Whether the second half is multiplied by it.
    """

    bend: Callable[[Tensor], Tensor]
    gated: bool = False

    def __call__(self, h: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch H"]:
        """Give f(h), or f(a) b for the halves a and b of h; P is H or 2 H."""
        if not self.gated:
            return self.bend(h)
        gate, value = h.chunk(2, -1)
        return self.bend(gate) * value

    def width(self, hidden: int) -> int:
        """Columns of the first matrix for `hidden` rows of the second."""
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
