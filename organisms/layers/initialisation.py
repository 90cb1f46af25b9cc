"""Where the matrices of a mixture start: variances that keep the size of what passes through them.

With m rows that are read and n columns that are written:

    xavier_uniform   uniform within +- sqrt(6 / (m + n))   Glorot and Bengio (2010)
    xavier_normal    variance 2 / (m + n)                  the same
    scaled_xavier    the same, and over 2 L for a matrix that writes into the residual stream
    scaled_kaiming   variance 2 / m (He et al. 2015), and over 2 L likewise

L layers add 2 L writes to the stream, so that its variance does not grow with depth (Radford et al. 2019).

Differs from the source: its "scaled_xavier" was normal with a standard deviation of 0.02 / sqrt(2 L) for every
matrix, which at a width of 64 makes a layer start 40 times too small whatever its width.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Initialisation:
    """How a matrix is drawn.

    Parameters
    ----------
    variance
        Variance of an entry for m rows and n columns.
    uniform
        Whether entries are uniform; else they are normal.
    scaled
        Whether a matrix that writes into the residual stream is made smaller.
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
    """Draw matrices on the generator's device.

    Parameters
    ----------
    shape
        Of the tensor; the axes in any order, because each entry is drawn alike.
    fans
        m and n of one matrix: of one expert's, and of one half of a gated one.
    how
        A name in `INITIALISATIONS`.
    generator
        The only source of chance.
    writes_of
        L, for matrices that write into the residual stream of a model of L layers; None: for all others.
    """
    way = INITIALISATIONS[how]
    shrink = 2 * writes_of if way.scaled and writes_of is not None else 1
    std = math.sqrt(way.variance(*fans) / shrink)
    if way.uniform:
        limit = math.sqrt(3) * std
        return torch.empty(shape, device=generator.device).uniform_(-limit, limit, generator=generator)
    return torch.empty(shape, device=generator.device).normal_(0, std, generator=generator)
