"""Checks of numbers that users give, made before anything is drawn or computed."""

import math


def whole(name: str, value: object, least: int = 1) -> int:
    """Return a size as it is.

    Parameters
    ----------
    name
        What the message calls it.
    value
        Must be an int.
    least
        The smallest that there can be.

    Raises
    ------
    ValueError
        If it is no whole number, or smaller.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number from {least} on, but is {value!r}")
    return value


def share(name: str, value: object) -> float:
    """Return a share in [0, 1).

    Raises
    ------
    ValueError
        If it is no such number.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and under 1, but is {value!r}")
    return float(value)


def not_negative(name: str, value: object) -> float:
    """Return a finite number from 0 on.

    Raises
    ------
    ValueError
        If it is no such number.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number from 0 on, but is {value!r}")
    return float(value)
