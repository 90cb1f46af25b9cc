"""Backends: which path serves a tensor, and what automatic mixed precision asks of its products."""

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec

import torch
from torch import Tensor

from kernels.arguments import one_of

BACKENDS = ("auto", "reference", "torch", "triton")


def exact(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context without automatic mixed precision, so that an operation computes in the dtype it promises."""
    return torch.autocast(tensor.device.type, enabled=False) if mixed(tensor) else nullcontext()


def mixed(tensor: Tensor) -> bool:
    """Whether automatic mixed precision is on for the device of a tensor."""
    kind = tensor.device.type
    return kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind)


def operand(x: Tensor, weights: Tensor) -> Tensor:
    """Return x in the dtype in which it is multiplied by weights: under autocast the one that autocast wants.

    As torch has it, float64 weights stay what they are; float64 x beside others does not, where torch refuses it.
    """
    if not mixed(x):
        return x
    double = weights.dtype == torch.float64
    return x.to(torch.float64 if double else torch.get_autocast_dtype(x.device.type))


def path(backend: str, argument: str, tensor: Tensor, *, triton: bool = True) -> str:
    """Return the name of the path that serves a tensor: Triton for CUDA tensors where it can be imported, else torch.

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
