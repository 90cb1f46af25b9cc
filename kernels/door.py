"""What the operations ask of their arguments before they compute, and which path serves a tensor."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
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


def exact(tensor: Tensor) -> AbstractContextManager[object]:
    """Keep automatic mixed precision out: an operation computes in the numbers that it promises."""
    return torch.autocast(tensor.device.type, enabled=False) if mixed(tensor) else nullcontext()


def mixed(tensor: Tensor) -> bool:
    """Say whether automatic mixed precision is on where a tensor lies."""
    kind = tensor.device.type
    return kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind)


def operand(x: Tensor, weights: Tensor) -> Tensor:
    """Give x in the dtype in which it is multiplied by weights: under autocast the one that autocast wants.

    As torch has it, float64 weights stay what they are; float64 x beside others does not, where torch refuses it.
    """
    if not mixed(x):
        return x
    double = weights.dtype == torch.float64
    return x.to(torch.float64 if double else torch.get_autocast_dtype(x.device.type))


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


def path(backend: str, argument: str, tensor: Tensor, *, triton: bool = True) -> str:
    """Name the path that serves a tensor: Triton for CUDA tensors where it can be imported, else torch.

    Parameters
    ----------
    backend
        One of `BACKENDS`; all but "auto" are taken at their word.
    argument, tensor
        The argument whose device and dtype decide, and its name. No Triton kernel here takes float64.
    triton
        Whether the operation's Triton path can do what else is asked.

    Raises
    ------
    ValueError
        If the backend is not known, or is "triton" and no kernel can compute with the tensor here.
    """
    one_of("backend", backend, BACKENDS)
    if backend == "triton":
        _on_triton(argument, tensor)
    if backend != "auto":
        return backend
    served = triton and tensor.is_cuda and tensor.dtype != torch.float64
    return "triton" if served and find_spec("triton") is not None else "torch"


def _on_triton(argument: str, tensor: Tensor) -> None:
    if find_spec("triton") is None:
        raise ValueError(
            "backend 'triton' needs the package triton, which is not installed; leave out backend"
        )
    if tensor.dtype == torch.float64:
        raise ValueError(
            f"{argument} is torch.float64, but backend 'triton' takes at most 32 bits a number; leave out backend, "
            f"or convert {argument}"
        )
    from triton import knobs

    if not (tensor.is_cuda or knobs.runtime.interpret):
        raise ValueError(
            f"{argument} is on {tensor.device}, but backend 'triton' needs a CUDA device, or TRITON_INTERPRET=1 in "
            "the environment before triton is imported; leave out backend"
        )
