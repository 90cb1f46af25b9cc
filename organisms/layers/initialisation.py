"""Initialisations of weight matrices whose variance keeps the size of what passes through them.

For a matrix of m inputs and n outputs (fan in and fan out):

    xavier_uniform   uniform within +- sqrt(6 / (m + n))   Glorot and Bengio (2010)
    xavier_normal    variance 2 / (m + n)                  the same
    scaled_xavier    the same, divided by 2 L for a matrix that writes into the residual stream
    scaled_kaiming   variance 2 / m (He et al. 2015), divided by 2 L likewise

L layers add 2 L writes to the stream, so that its variance does not grow with depth (Radford et al. 2019).

Differs from the document: its "scaled_xavier" is normal with a standard deviation of 0.02 / sqrt(2 L) for every
matrix whatever its width, which at a width of 64 makes a layer start 40 times too small.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from kernels import arguments


@dataclass(frozen=True, slots=True)
class Initialisation:
    """Distribution of the entries of a matrix.

    Parameters
    ----------
    variance
        Variance of an entry, of fan in m and fan out n.
    uniform
        Whether entries are uniform; else they are normal.
    scaled
        Whether the variance of a matrix that writes into the residual stream is divided by 2 L.
    """

    variance: Callable[[int, int], float]
    uniform: bool = False
    scaled: bool = False


INITIALISATIONS: Mapping[str, Initialisation] = MappingProxyType(
    {
        "xavier_uniform": Initialisation(lambda m, n: 2 / (m + n), uniform=True),
        "xavier_normal": Initialisation(lambda m, n: 2 / (m + n)),
        "scaled_xavier": Initialisation(lambda m, n: 2 / (m + n), scaled=True),
        "scaled_kaiming": Initialisation(lambda m, n: 2 / m, scaled=True),
    }
)


def drawn(
    shape: tuple[int, ...],
    fans: tuple[int, int],
    how: str,
    generator: torch.Generator,
    *,
    writes_of: int | None = None,
) -> Float[Tensor, "..."]:
    """Draw one or more matrices on the generator's device.

    Parameters
    ----------
    shape
        Shape of the tensor; the axes in any order, because each entry is drawn alike.
    fans
        Fan in m and fan out n of one matrix: of one expert's, and of one half of a gated one.
    how
        A name in `INITIALISATIONS`.
    generator
        What they are drawn from.
    writes_of
        L, for matrices that write into the residual stream of a model of L layers; None: for all others.
    """
    return _fill_(torch.empty(shape, device=generator.device), fans, how, generator, writes_of)


@torch.no_grad()
def scaled_init_(
    tensor: Tensor,
    n_layers: int | None = 1,
    init_type: str = "scaled_xavier",
    *,
    generator: torch.Generator,
) -> Tensor:
    """Initialise a weight in place, as `torch.nn.init` does, and return it.

    Differs from the document: deviations follow from the shape (above), and the generator is an argument.

    Parameters
    ----------
    tensor
        A matrix [n, m] of m inputs and n outputs, as of `torch.nn.Linear`, or a stack [..., n, m]; of one that is held
        as [..., m, n], as by `ExpertFFN`, pass ``tensor.mT``.
    n_layers
        L, for a matrix that writes into the residual stream of a model of L layers; None: for all others.
    init_type
        A name in `INITIALISATIONS`.
    generator
        What it is drawn from, on the device of the tensor.

    Raises
    ------
    ValueError
        If the tensor is no matrix, or there is no such initialisation.
    """
    arguments.matrices("tensor", tensor)
    arguments.one_of("init_type", init_type, tuple(INITIALISATIONS))
    n, m = tensor.shape[-2:]
    return _fill_(tensor, (m, n), init_type, generator, n_layers)


def _fill_(
    tensor: Tensor, fans: tuple[int, int], how: str, generator: torch.Generator, writes_of: int | None
) -> Tensor:
    initialisation = INITIALISATIONS[how]
    divisor = 2 * writes_of if initialisation.scaled and writes_of is not None else 1
    std = math.sqrt(initialisation.variance(*fans) / divisor)
    if initialisation.uniform:
        limit = math.sqrt(3) * std
        return tensor.uniform_(-limit, limit, generator=generator)
    return tensor.normal_(0, std, generator=generator)
