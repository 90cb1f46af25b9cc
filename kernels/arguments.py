"""Checks of the arguments of operations, made before anything is computed."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from kernels.exporting import exporting
from kernels.suggestion import did_you_mean

LARGEST = 2**34  # bytes of one result: an honest mistake in an axis is larger, a matrix in use is not


def one_of(argument: str, value: str, known: Sequence[str]) -> None:
    """Refuse a name that is not known.

    Parameters
    ----------
    argument
        What the argument is called, for the message.
    value
        The name that was given.
    known
        The names that may be given.

    Raises
    ------
    ValueError
        If it is not; the message lists the known names and the nearest one.
    """
    if value not in known:
        raise ValueError(
            f"{argument} is {value!r}, but must be one of {', '.join(known)}{did_you_mean(value, known)}"
        )


def instance(argument: str, value: object, *kinds: type) -> None:
    """Refuse an argument of another type.

    Parameters
    ----------
    argument
        What the argument is called, for the message.
    value
        What was given.
    kinds
        The types that it may be of.

    Raises
    ------
    ValueError
        If it is of none of these.
    """
    if not isinstance(value, kinds):
        *others, last = (kind.__name__ for kind in kinds)
        names = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{argument} must be of type {names}, but is of type {type(value).__name__}")


def tensors(**arguments: object) -> None:
    """Refuse arguments that are not tensors, or not dense ones.

    Raises
    ------
    ValueError
        If one is not; the message names the first.
    """
    for argument, value in arguments.items():
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            found = (
                f"a tensor of layout {value.layout}"
                if isinstance(value, Tensor)
                else f"a {type(value).__name__}"
            )
            raise ValueError(f"{argument} must be a dense torch.Tensor, but is {found}")


def matrices(argument: str, tensor: Tensor) -> None:
    """Refuse what is not a real floating-point tensor of at least two axes.

    Raises
    ------
    ValueError
        If it is not.
    """
    tensors(**{argument: tensor})
    if not tensor.is_floating_point():
        raise ValueError(f"{argument} must hold floating-point numbers, but its dtype is {tensor.dtype}")
    if tensor.ndim < 2:
        raise ValueError(f"{argument} must have the axes [..., N, D], but its shape is {list(tensor.shape)}")


def allocatable(argument: str, shape: Sequence[int], dtype: torch.dtype) -> None:
    """Refuse an argument whose result would take more than 16 GiB.

    Parameters
    ----------
    argument
        What the argument is called, for the message.
    shape, dtype
        Those of the result.

    Raises
    ------
    ValueError
        If it would.
    """
    if exporting():
        return  # whose sizes are symbols
    size = prod(shape) * dtype.itemsize
    if size > LARGEST:
        raise ValueError(
            f"{argument} asks for a result of shape {list(shape)} in {dtype}, which takes {size / 2**30:.0f} GiB; "
            f"at most {LARGEST / 2**30:.0f} GiB are given to one result"
        )
