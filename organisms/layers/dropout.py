"""Dropout that draws from a generator of the caller's."""

import torch
from jaxtyping import Float
from torch import Tensor

from organisms.layers.checks import required_generator


def dropout_factors(
    like: Tensor, shape: tuple[int, ...], probability: float, generator: torch.Generator | None
) -> Float[Tensor, "..."]:
    """Draw the factors of dropout: 0 with this probability, else 1 / (1 - probability), of expectation 1.

    Parameters
    ----------
    like
        A tensor of the wanted dtype and device.
    shape
        Shape of the result.
    probability
        Share that is dropped, in (0, 1).
    generator
        What they are drawn from, on the same device.

    Raises
    ------
    ValueError
        If there is no generator, or it is on another device.
    """
    source = required_generator(generator, "dropout", like.device)
    kept = like.new_empty(shape).bernoulli_(1 - probability, generator=source)
    return kept.div_(1 - probability)
