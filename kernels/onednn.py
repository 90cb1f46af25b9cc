"""oneDNN's float32 product, through a private operation of torch, and where it is the faster one."""

import os
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from kernels import arguments

DEPTH = 1024  # longer sums are cut, as MKL cuts its own: their error grows with the root of their length
SWITCH = "PLASMODIA_ONEDNN"  # an environment variable: 0 switches oneDNN off, 1 or nothing leaves it on


def available() -> bool:
    """Whether this torch was built with oneDNN and has the operation."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def multiplies(tensor: Tensor) -> bool:
    """Whether oneDNN can multiply a tensor here: float32 on the CPU."""
    return available() and tensor.dtype == torch.float32 and tensor.device.type == "cpu"


@cache
def faster() -> bool:
    """Whether oneDNN's product is faster here than torch's own product, which is MKL's; never by a timing.

    It is where the processor has AVX-512 and MKL does not use it: on AMD's processors, and wherever MKL_CBWR
    holds MKL to AVX2, as runs do. The processor and the environment are asked once.

    Raises
    ------
    ValueError
        If PLASMODIA_ONEDNN is neither 0 nor 1.
    """
    switch = os.environ.get(SWITCH, "1")
    arguments.one_of(SWITCH, switch, ("0", "1"))
    tell = getattr(torch.cpu, "get_capabilities", None)
    told = tell() if tell is not None else {}
    held = os.environ.get("MKL_CBWR", "").partition(",")[0] == "AVX2"
    amd = str(told.get("cpu_name", "")).startswith("AMD")
    return switch == "1" and bool(told.get("avx512_f", False)) and (amd or held)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x weight^T + bias.

    Parameters
    ----------
    x
        Vectors, [M, K], float32 on the CPU and of any strides, as are the others.
    weight
        Matrix, [N, K].
    bias
        Added to every result, [N]; None: nothing is.
    """
    bias = None if bias is None else bias.contiguous()  # it is read as if it had stride 1
    if x.shape[1] <= DEPTH:
        return _product(x, weight, bias)
    first, *others = zip(x.split(DEPTH, 1), weight.split(DEPTH, 1), strict=True)
    total = _product(*first, bias)
    for part in others:
        total.add_(_product(*part, None))
    return total


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(_packed(x), _packed(weight), bias, "none", [], "")


def _packed(matrix: Tensor) -> Tensor:
    """Copy a matrix unless its rows or its columns lie one after the other: the operation takes no others."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


def outer(x: Tensor, y: Tensor, times: Callable[[Tensor, Tensor], Tensor] = product) -> Tensor:
    """Return x^T y, [K, N].

    Parameters
    ----------
    x, y
        Matrices, [M, K] and [M, N], of any strides.
    times
        How to multiply: a function of matrices a and b that returns a b^T.
    """
    # The operation copies its first matrix if it is transposed, so that is the narrower one.
    return times(x.t(), y.t()) if x.shape[1] <= y.shape[1] else times(y.t(), x.t()).t()
