"""Dropout whose chance is an argument."""

import torch
from jaxtyping import Float
from torch import Tensor

from organisms.layers.checks import drawing


def dropout_factors(
    like: Tensor, shape: tuple[int, ...], probability: float, generator: torch.Generator | None
) -> Float[Tensor, "..."]:
    """Draw 0 with this probability, else 1 / (1 - probability), so that the expectation is 1.

    Parameters
    ----------
    like
        Gives dtype and device.
    shape
        Of the result.
    probability
        In (0, 1).
    generator
        The only source of chance, on the same device.

    Raises
    ------
    ValueError
        If there is no generator, or it is on another device.
    """
    source = drawing(generator, "dropout", like.device)
    kept = like.new_empty(shape).bernoulli_(1 - probability, generator=source)
    return kept.div_(1 - probability)
