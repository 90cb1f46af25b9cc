"""Grouped matrix product: rows sorted by group, each times the matrix of its group, as in a layer of experts."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from kernels import arguments, backends
from kernels.grouped_gemm import onednn_products, reference, torch_products
from kernels.grouped_gemm.gradients import differentiable
from kernels.untraced import untraced

__all__ = ["grouped_gemm"]

_MOST_ROWS = 2**31 - 1  # torch's own grouped product counts them in int32


def grouped_gemm(
    x: Float[Tensor, "M K"],
    weights: Float[Tensor, "G K N"],
    offsets: Int64[Tensor, " G"],
    *,
    backend: str = "auto",
) -> Float[Tensor, "M N"]:
    """Multiply each row by the matrix of its group: y[i] = x[i] @ weights[g], offsets[g-1] <= i < offsets[g].

    Gradients of any order flow to `x` and `weights`; a group without rows has zero gradient. No path uses
    atomics or chooses by timing, so equal inputs give equal bits on the same machine. Inputs may have any
    strides. Under autocast the product is in the dtype that autocast wants, whatever comes in.

    Parameters
    ----------
    x
        Rows sorted by group, [M, K]; M may be zero.
    weights
        One matrix per group, [G, K, N]; none of G, K and N is zero.
    offsets
        The end of each group, cumulative, [G]: group g has the rows from ``offsets[g-1]`` (the first group:
        from 0) up to but without ``offsets[g]``, and the last entry is M. Equal neighbours: an empty group.
    backend
        "reference": a plain loop; "torch": the fast path on CPU, which for float32 in large groups is oneDNN's
        product where that is faster (`kernels.onednn.faster`; PLASMODIA_ONEDNN=0 switches it off); "triton": the
        one on CUDA; "auto": Triton on CUDA where it can be imported, for all dtypes but float64, else torch.

    Raises
    ------
    ValueError
        If the backend is unknown or cannot compute this; if a dtype, a shape or a device is wrong; if the
        result would take more than 16 GiB; if PLASMODIA_ONEDNN is neither 0 nor 1; if `offsets` decrease or do
        not end at M. The Triton path does not read offsets back from a CUDA device, because the host would have
        to wait for it: wrong ones then give wrong rows, but never a read or a write outside the tensors.

    Examples
    --------
    >>> x, weights = torch.ones(3, 2), torch.stack([torch.eye(2), 5 * torch.eye(2)])
    >>> grouped_gemm(x, weights, torch.tensor([1, 3]))
    tensor([[1., 1.],
            [5., 5.],
            [5., 5.]])
    """
    _check(x, weights, offsets)
    x, weights = backends.operand(x, weights), backends.operand(weights, weights)
    path = backends.path(backend, "x", x)
    if path != "triton" or not x.is_cuda:
        _check_ends(offsets.tolist(), x.shape[0])
    if path == "reference":
        return reference.grouped_gemm(x, weights, offsets)
    if path == "triton":
        from kernels.grouped_gemm import triton_products

        return differentiable(triton_products.PRODUCTS, x, weights, offsets)
    return _by_a_library(x, weights, offsets)


@untraced  # the stand-in of torch's grouped product takes bfloat16 alone, and the host has to know where groups end
def _by_a_library(x: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
    library = onednn_products if onednn_products.pays(x, weights) else torch_products
    return differentiable(library.PRODUCTS, x, weights, offsets)


def _check(x: Tensor, weights: Tensor, offsets: Tensor) -> None:
    arguments.tensors(x=x, weights=weights, offsets=offsets)
    wanted = (("x", x, "[M, K]"), ("weights", weights, "[G, K, N]"), ("offsets", offsets, "[G]"))
    for name, tensor, axes in wanted:
        if tensor.ndim != axes.count(",") + 1:
            raise ValueError(f"{name} must have the axes {axes}, but its shape is {list(tensor.shape)}")
        if tensor.device != x.device:
            raise ValueError(f"{name} must be on the device of x, {x.device}, but is on {tensor.device}")
    _check_dtypes(x, weights, offsets)
    _check_sizes(x, weights, offsets)


def _check_dtypes(x: Tensor, weights: Tensor, offsets: Tensor) -> None:
    if not x.is_floating_point():
        raise ValueError(f"x must hold floating-point numbers, but its dtype is {x.dtype}")
    if weights.dtype != x.dtype and not (backends.mixed(x) and weights.is_floating_point()):
        raise ValueError(f"weights must have the dtype of x, {x.dtype}, but have {weights.dtype}")
    if offsets.dtype != torch.int64:
        raise ValueError(f"offsets must be torch.int64, but are {offsets.dtype}")


def _check_sizes(x: Tensor, weights: Tensor, offsets: Tensor) -> None:
    (rows, inner), (groups, wanted, columns) = x.shape, weights.shape
    if 0 in weights.shape:
        raise ValueError(f"weights must have no axis of length 0, but their shape is {list(weights.shape)}")
    if inner != wanted:
        raise ValueError(f"x has {inner} columns, but weights multiply {wanted}: they must be equal")
    if len(offsets) != groups:
        raise ValueError(
            f"offsets must have one entry for each of the {groups} groups, but have {len(offsets)}"
        )
    if rows > _MOST_ROWS:
        raise ValueError(f"x has {rows} rows, but at most {_MOST_ROWS} are multiplied at once")
    arguments.allocatable("x", (rows, columns), x.dtype)


def _check_ends(ends: list[int], rows: int) -> None:
    for group, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        if end < start:
            raise ValueError(
                f"offsets must not decrease, but group {group} starts at row {start} and ends at {end}"
            )
    if ends[-1] != rows:
        raise ValueError(f"offsets must end at {rows}, the number of rows of x, but end at {ends[-1]}")
