"""Correlation and Gram matrices of the features of a set of vectors."""

import torch
from jaxtyping import Float
from torch import Tensor

from kernels import arguments, backends
from kernels.correlation import reference
from kernels.scaling import in_range

__all__ = ["correlation"]

MATRICES = ("correlation", "gram")


def correlation(
    x: Float[Tensor, "... N D"],
    *,
    kind: str = "correlation",
    dtype: torch.dtype = torch.float64,
    backend: str = "auto",
) -> Float[Tensor, "... D D"]:
    """Pearson correlation, or inner products, between the D features over N vectors.

    With u = x - mean(x) over the vectors, scaled to columns of length one: ``u^T u``, and 1 on the diagonal.
    A constant feature correlates with nothing: its row is zero but for the 1 on the diagonal, and the gradient
    of its column is zero. The Gram matrix is ``x^T x``.

    Parameters
    ----------
    x
        Vectors, [..., N, D], on any device and with any strides; leading axes are a batch.
    kind
        "correlation" or "gram".
    dtype
        Precision of the arithmetic: `torch.float64` or, at half the memory, `torch.float32`. The result has
        the dtype of ``x``.
    backend
        "auto": Triton for CUDA tensors of at most 32 bits a number if ``dtype`` is float32 and triton can be
        imported, else torch. Or by name "reference", "torch" or "triton", which multiplies each pair of tiles
        once and adds up in float32.

    Raises
    ------
    ValueError
        If ``kind``, ``dtype`` or ``backend`` is not known; if ``x`` holds no floating-point numbers, has fewer than
        two axes, has no vectors to take a mean of, or has so many features that the result would take more
        than 16 GiB; if "triton" cannot serve what is asked.
    """
    arguments.one_of("kind", kind, MATRICES)
    arguments.one_of("dtype", str(dtype), ("torch.float32", "torch.float64"))
    arguments.matrices("x", x)
    arguments.allocatable("x", (*x.shape[:-2], x.shape[-1], x.shape[-1]), dtype)
    if kind == "correlation" and not x.shape[-2]:
        raise ValueError(f"x holds no vectors, and nothing has no mean: its shape is {list(x.shape)}")
    if backend == "triton" and dtype != torch.float32:
        raise ValueError(
            f"backend 'triton' computes in float32, but dtype is {dtype}; leave out backend, or give "
            "dtype=torch.float32"
        )
    with backends.exact(x):
        return _computed(x, kind, dtype, backend)


def _computed(x: Tensor, kind: str, dtype: torch.dtype, backend: str) -> Tensor:
    chosen = backends.path(backend, "x", x, triton=dtype == torch.float32)
    if chosen == "triton" and x.numel():
        from kernels.correlation import triton_gram

        found = triton_gram.gram(x) if kind == "gram" else triton_gram.correlation(x)
    elif kind == "gram":
        found = reference.gram(x.to(dtype))
    elif chosen == "torch" and dtype == torch.float64:
        found = by_unit_columns(in_range(x.double(), -2))
    else:  # in float32 the definition is also the fastest: what is divided is D x D, not N x D
        found = reference.correlation(in_range(x.to(dtype), -2))
    return found.to(x.dtype)


def by_unit_columns(x: Float[Tensor, "... N D"]) -> Float[Tensor, "... D D"]:
    """Correlation as u^T u of the centred features scaled to length one; runs repeat its bits."""
    centred = x - x.mean(-2, keepdim=True)
    # The mean of equal numbers can differ from them by a rounding; the norm cannot tell a constant feature.
    varies = x.amax(-2, keepdim=True) != x.amin(-2, keepdim=True)  # true of NaN, which then is seen
    norms = centred.norm(dim=-2, keepdim=True)
    unit = torch.where(varies, centred / torch.where(norms > 0, norms, 1.0), 0.0)
    gram = unit.transpose(-1, -2) @ unit
    gram.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    return gram
