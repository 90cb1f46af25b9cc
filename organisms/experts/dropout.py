"""Dropout whose chance is an argument."""

import torch
from jaxtyping import Float
from torch import Tensor


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
        If there is no generator.
    """
    if generator is None:
        raise ValueError(
            f"generator is missing, but dropout is {probability:g} and the module trains: "
            "pass generator=torch.Generator(), call eval(), or set dropout to 0"
        )
    kept = like.new_empty(shape).bernoulli_(1 - probability, generator=generator)
    return kept.div_(1 - probability)
