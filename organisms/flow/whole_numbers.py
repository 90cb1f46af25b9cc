"""Whole numbers as users give them: ints, or tensors of one element, as sizes read from a checkpoint are."""

import math

from torch import Tensor


def safe_tensor_to_int(value: object, name: str = "value") -> int:
    """Return a whole number as an int, where ``int`` would round or fail with a message of torch's.

    Parameters
    ----------
    value
        An int, a float without a fraction, or a tensor of one such element of any shape.
    name
        What the message calls it.

    Raises
    ------
    ValueError
        If it is a bool, not finite, has a fraction, or is no number at all; if a tensor has not exactly one element.
    """
    number = value
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"{name} must be a tensor of one element, but has the shape {list(value.shape)}")
        number = value.item()
    # A bool is an int to Python, but never a size that somebody meant.
    if isinstance(number, bool) or not isinstance(number, int | float) or not _whole(number):
        raise ValueError(f"{name} must be a whole number, but is {number!r}")
    return int(number)


def _whole(number: int | float) -> bool:
    return math.isfinite(number) and number == int(number)


def count(name: str, value: object, least: int = 1) -> int:
    """Return a size as an int.

    Parameters
    ----------
    name
        What the message calls it.
    value
        As `safe_tensor_to_int` takes it.
    least
        The smallest size that there can be.

    Raises
    ------
    ValueError
        If it is no whole number, or smaller.
    """
    number = safe_tensor_to_int(value, name)
    if number < least:
        raise ValueError(f"{name} must be a whole number from {least} on, but is {number}")
    return number
