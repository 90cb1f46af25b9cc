"""Gram matrix and correlation on a GPU: tiles of the lower triangle, each multiplied once and written twice."""

from math import prod
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from kernels.first_order import first_order

# Features a tile, vectors a step, and warps: fixed, because another order of adding is another sum.
TILE, DEPTH, WARPS = 64, 32, 4


@triton.jit
@no_type_check
def lower_tiles(
    x_ptr, shift_ptr, factor_ptr, out_ptr, N, D, tiles, stride_b, stride_n, stride_d,
    CENTRED: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Gram matrix [D, D] of each [N, D]: one program a pair of tiles; those above the diagonal end at once.

    Parameters
    ----------
    x_ptr
        Vectors, [B, N, D].
    shift_ptr, factor_ptr
        What is subtracted from each feature, and what it is then multiplied by, [B, D]; read only if `CENTRED`.
    out_ptr
        The result, [B, D, D], contiguous.
    N, D
        Vectors, and features of a vector.
    tiles
        Tiles that the features take.
    stride_b, stride_n, stride_d
        From one number of `x_ptr` to the next along each axis.
    CENTRED
        Whether features are shifted and scaled.
    TILE, DEPTH
        Features of a tile, and vectors of a step.
    """
    column = tl.program_id(0) % tiles
    row = tl.program_id(0) // tiles % tiles
    batch = (tl.program_id(0) // tiles // tiles).to(tl.int64)
    if row < column:
        return
    i = (row * TILE + tl.arange(0, TILE)).to(tl.int64)
    j = (column * TILE + tl.arange(0, TILE)).to(tl.int64)
    x_ptr += batch * stride_b
    if CENTRED:
        shift_i = tl.load(shift_ptr + batch * D + i, mask=i < D, other=0.0)[None, :]
        shift_j = tl.load(shift_ptr + batch * D + j, mask=j < D, other=0.0)[None, :]
        factor_i = tl.load(factor_ptr + batch * D + i, mask=i < D, other=0.0)[None, :]
        factor_j = tl.load(factor_ptr + batch * D + j, mask=j < D, other=0.0)[None, :]
    total = tl.zeros((TILE, TILE), dtype=tl.float32)
    for start in range(0, N, DEPTH):
        n = (start + tl.arange(0, DEPTH)).to(tl.int64)[:, None]
        mask_i, mask_j = (n < N) & (i < D)[None, :], (n < N) & (j < D)[None, :]
        a = tl.load(x_ptr + n * stride_n + i[None, :] * stride_d, mask=mask_i, other=0.0)
        b = tl.load(x_ptr + n * stride_n + j[None, :] * stride_d, mask=mask_j, other=0.0)
        if CENTRED:
            a = (a.to(tl.float32) - shift_i) * factor_i  # past the last vector it is enough that b is zero
            b = tl.where(mask_j, (b.to(tl.float32) - shift_j) * factor_j, 0.0)
        total = tl.dot(tl.trans(a), b, total, input_precision="ieee")
    if row == column:  # a matrix unit need not add both halves of a diagonal tile in one order
        total = tl.where(i[:, None] >= j[None, :], total, tl.trans(total))
    inside = (i < D)[:, None] & (j < D)[None, :]
    out_ptr += batch * D * D
    tl.store(out_ptr + i[:, None] * D + j[None, :], total, mask=inside)
    if row != column:
        tl.store(out_ptr + j[:, None] * D + i[None, :], tl.trans(total), mask=tl.trans(inside))


def launch(x: Tensor, shift: Tensor | None = None, factor: Tensor | None = None) -> Tensor:
    """Return the Gram matrices of ``(x - shift) * factor``, [B, D, D], in float32.

    Parameters
    ----------
    x
        Vectors, [B, N, D].
    shift, factor
        For each feature, [B, D]; None: x as it is.
    """
    B, N, D = x.shape
    out = torch.empty(B, D, D, dtype=torch.float32, device=x.device)
    tiles = triton.cdiv(D, TILE)
    if B * tiles:
        centred = shift is not None
        lower_tiles[(B * tiles * tiles,)](
            x, shift if centred else x, factor if centred else x, out, N, D, tiles, *x.stride(),
            CENTRED=centred, TILE=TILE, DEPTH=DEPTH, num_warps=WARPS,
        )  # fmt: skip
    return out


class Gram(torch.autograd.Function):
    """x^T x, whose gradient is x (g + g^T)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Compute the Gram matrix, and keep only x."""
        ctx.save_for_backward(x)
        return launch(x)

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor]:
        """Return x (g + g^T), one product in float32."""
        (x,) = ctx.saved_tensors
        return ((x.float() @ (grad + grad.transpose(-1, -2))).to(x.dtype),)


class Correlation(torch.autograd.Function):
    """u^T u with unit diagonal, for the centred features u scaled to length one; a constant one is zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Keep x, mean and factor of each feature: u is made again, tile by tile, where it is needed."""
        variance, mean = torch.var_mean(x.float(), dim=-2, correction=0)
        varies = (x.amax(-2) != x.amin(-2)) & (variance != 0)  # true of NaN, which then is seen
        factor = torch.where(varies, (variance * x.shape[-2]).rsqrt(), 0.0)
        ctx.save_for_backward(x, mean, factor)
        out = launch(x, mean.contiguous(), factor.contiguous())
        out.diagonal(dim1=-2, dim2=-1).fill_(1.0)
        return out

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor]:
        """Return the gradient of x through the product, the scaling and the centring."""
        x, mean, factor = ctx.saved_tensors
        factor = factor.unsqueeze(-2)
        unit = (x.float() - mean.unsqueeze(-2)) * factor
        both = grad + grad.transpose(-1, -2)
        both.diagonal(dim1=-2, dim2=-1).zero_()
        change = unit @ both
        change = (change - unit * (unit * change).sum(-2, keepdim=True)) * factor
        return ((change - change.mean(-2, keepdim=True)).to(x.dtype),)


def gram(x: Float[Tensor, "... N D"]) -> Float[Tensor, "... D D"]:
    """Return x^T x in float32."""
    return over_batch(Gram, x)


def correlation(x: Float[Tensor, "... N D"]) -> Float[Tensor, "... D D"]:
    """Correlate the features in float32."""
    return over_batch(Correlation, x)


def over_batch(function: type[torch.autograd.Function], x: Tensor) -> Tensor:
    """Apply a function of [B, N, D] to [..., N, D]."""
    *batch, N, D = x.shape
    return function.apply(x.reshape(prod(batch), N, D)).reshape(*batch, D, D)
