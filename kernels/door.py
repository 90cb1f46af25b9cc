"""What the operations ask of their arguments before they compute, and which path serves a tensor."""

from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from math import prod

import torch
from torch import Tensor

BACKENDS = ("auto", "reference", "torch", "triton")
LARGEST = 2**34  # bytes of one result: an honest mistake in an axis is larger, a matrix in use is not


def one_of(argument: str, value: str, known: Sequence[str]) -> None:
    """Refuse a name that is not known.

    Raises
    ------
    ValueError
        If it is not; the message lists the known names and the nearest one.
    """
    if value not in known:
        near = get_close_matches(str(value), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{argument} is {value!r}, but must be one of {', '.join(known)}{hint}")


def matrices(argument: str, tensor: Tensor) -> None:
    """Refuse what is not a real floating-point tensor of at least two axes.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not tensor.is_floating_point():
        raise ValueError(f"{argument} must hold floating-point numbers, but its dtype is {tensor.dtype}")
    if tensor.ndim < 2:
        raise ValueError(f"{argument} must have the axes [..., N, D], but its shape is {list(tensor.shape)}")


def allocatable(argument: str, shape: Sequence[int], dtype: torch.dtype) -> None:
    """Refuse an argument whose result would take more than 16 GiB.

    Raises
    ------
    ValueError
        If it would.
    """
    size = prod(shape) * dtype.itemsize
    if size > LARGEST:
        raise ValueError(
            f"{argument} asks for a result of shape {list(shape)} in {dtype}, which takes {size / 2**30:.0f} GiB; "
            f"at most {LARGEST / 2**30:.0f} GiB are given to one result"
        )


def path(backend: str, tensor: Tensor, *, triton: bool = True) -> str:
    """Name the path that serves a tensor: Triton for CUDA tensors where it can be imported, else torch.

    Parameters
    ----------
    backend
        One of `BACKENDS`; all but "auto" are taken at their word.
    tensor
        The argument whose device decides.
    triton
        Whether the operation's Triton path can do what is asked.

    Raises
    ------
    ValueError
        If the backend is not known.
    """
    one_of("backend", backend, BACKENDS)
    if backend != "auto":
        return backend
    return "triton" if triton and tensor.is_cuda and find_spec("triton") is not None else "torch"
