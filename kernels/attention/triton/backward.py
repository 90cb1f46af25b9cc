r"""The gradients of attention on Triton, without atomics: every element is summed by one program, in one order.

With weights p_ij = 2^(s_ij - lse_i) made again from the stored log-sum-exp, the gradient g_i of output o_i and
delta_i = g_i . o_i, the scores have the gradient

    d_ij = p_ij (g_i . v_j - delta_i)

and so dq_i = scale sum_j d_ij k_j, dk_j = scale sum_i d_ij q_i and dv_j = sum_i p_ij g_i. One kernel has a
program for each tile of queries, which gives dq and delta; the next has one for each tile of keys, which gives
dk and dv. The weights are made twice: that is the price of a fixed order. Dao, "FlashAttention-2" (2023),
section 3.1. Differs from the source: dq is not added up by atomics.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, UInt8
from torch import Tensor

from kernels.attention.triton.rows import load_rows, store_rows
from kernels.attention.triton.tiles import padded, tiles_for
from kernels.attention.triton.visibility import distance, hide


def backward(
    grad_output: Float[Tensor, "B H S W"],
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    output: Float[Tensor, "B H S W"],
    lse: Float[Tensor, "B H S"],
    scale: Float[Tensor, " H"],
    causal: bool,
    window: Float[Tensor, " H"] | None,
    key_mask: UInt8[Tensor, "B S"] | None,
    positions: Float[Tensor, "S P"],
) -> tuple[Float[Tensor, "B H S R"], Float[Tensor, "B H S R"], Float[Tensor, "B H S W"]]:
    """Return the gradients of q, k and v for a gradient of the output.

    Parameters
    ----------
    grad_output
        Gradient of the output, of the dtype of q, contiguous.
    q, k, v, scale, causal, window, key_mask, positions
        What `forward` was given.
    output, lse
        What `forward` returned.

    Raises
    ------
    ValueError
        If a head is wider than 128.
    """
    B, H, S, R = q.shape
    W = v.shape[-1]
    padded_R, padded_W = padded(R), padded(W)
    delta = torch.empty_like(lse)
    dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    tensors = (grad_output, q, k, v, lse, delta, scale, window, key_mask, positions)
    sizes = (H, S, R, W, padded_R, padded_W, positions.shape[1], causal)
    with torch.cuda.device_of(q):
        tiles = tiles_for("queries", q.element_size(), max(padded_R, padded_W), S)
        _queries[(triton.cdiv(S, tiles.queries) * B * H,)](
            *tensors, output, dq, *sizes, tiles.queries, tiles.keys,
            num_warps=tiles.warps, num_stages=tiles.stages,
        )  # fmt: skip
        tiles = tiles_for("keys", q.element_size(), max(padded_R, padded_W), S)
        _keys[(triton.cdiv(S, tiles.keys) * B * H,)](
            *tensors, dk, dv, *sizes, tiles.queries, tiles.keys,
            num_warps=tiles.warps, num_stages=tiles.stages,
        )  # fmt: skip
    return dq, dk, dv


# M queries and N keys of a tile, R the width of a query, W of a value.
@triton.jit(do_not_specialize=["heads", "length"])
@no_type_check
def _queries(
    grad_ptr, q_ptr, k_ptr, v_ptr, lse_ptr, delta_ptr, scale_ptr, window_ptr, key_mask_ptr, positions_ptr,
    output_ptr, dq_ptr, heads, length, R: tl.constexpr, W: tl.constexpr, padded_R: tl.constexpr,
    padded_W: tl.constexpr, axes: tl.constexpr, causal: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(length, M)
    tile = tiles - 1 - tl.program_id(0) % tiles  # the longest rows of a causal head first
    head = tl.program_id(0) // tiles  # counted over the batch
    first = tl.cast(head, tl.int64) * length
    query_M = tile * M + tl.arange(0, M)
    inside_M = query_M < length
    q_MR = load_rows(q_ptr, first, query_M, inside_M, R, padded_R)
    grad_MW = load_rows(grad_ptr, first, query_M, inside_M, W, padded_W)
    output_MW = load_rows(output_ptr, first, query_M, inside_M, W, padded_W)
    delta_M = tl.sum(grad_MW.to(tl.float32) * output_MW.to(tl.float32), 1)
    tl.store(delta_ptr + first + query_M, delta_M, mask=inside_M)
    lse_M = base_two(tl.load(lse_ptr + first + query_M, mask=inside_M, other=float("-inf")))
    scale = tl.load(scale_ptr + head % heads)
    window = None
    if window_ptr is not None:
        window = tl.load(window_ptr + head % heads)
    dq_MR = tl.zeros([M, padded_R], tl.float32)

    end = length
    whole = length // N * N
    if causal:
        end = tl.minimum(length, (tile + 1) * M)
        whole = tile * M // N * N
    for edge in tl.static_range(2):  # first the tiles that no boundary cuts
        for start in tl.range(whole * edge, whole + (end - whole) * edge, N):
            key_N = start + tl.arange(0, N)
            inside_N = key_N < length
            seen_MN = None
            if key_mask_ptr is not None:
                seen_N = tl.load(key_mask_ptr + head // heads * length + key_N, mask=inside_N, other=0)
                inside_N = inside_N & (seen_N != 0)
                seen_MN = seen_N[None, :]
            k_NR = load_rows(k_ptr, first, key_N, inside_N, R, padded_R)
            v_NW = load_rows(v_ptr, first, key_N, inside_N, W, padded_W)
            scores_MN = tl.dot(q_MR, tl.trans(k_NR), input_precision="ieee") * (scale * 1.4426950408889634)
            distance_MN = None
            if window_ptr is not None:
                distance_MN = distance(positions_ptr, query_M[:, None], key_N[None, :], length, axes)
            scores_MN = hide(
                scores_MN, query_M[:, None], key_N[None, :], seen_MN, distance_MN, window, length, edge, causal
            )  # fmt: skip
            weights_MN = tl.math.exp2(scores_MN - lse_M[:, None])
            dweights_MN = tl.dot(grad_MW, tl.trans(v_NW), input_precision="ieee")
            dscores_MN = weights_MN * (dweights_MN - delta_M[:, None])
            dq_MR = tl.dot(dscores_MN.to(k_NR.dtype), k_NR, dq_MR, input_precision="ieee")
    store_rows(dq_ptr, dq_MR * scale, first, query_M, inside_M, R, padded_R)


@triton.jit(do_not_specialize=["heads", "length"])
@no_type_check
def _keys(
    grad_ptr, q_ptr, k_ptr, v_ptr, lse_ptr, delta_ptr, scale_ptr, window_ptr, key_mask_ptr, positions_ptr,
    dk_ptr, dv_ptr, heads, length, R: tl.constexpr, W: tl.constexpr, padded_R: tl.constexpr,
    padded_W: tl.constexpr, axes: tl.constexpr, causal: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(length, N)
    tile = tl.program_id(0) % tiles
    head = tl.program_id(0) // tiles  # counted over the batch
    first = tl.cast(head, tl.int64) * length
    key_N = tile * N + tl.arange(0, N)
    inside_N = key_N < length
    seen_N = inside_N
    seen_NM = None
    if key_mask_ptr is not None:
        mask_N = tl.load(key_mask_ptr + head // heads * length + key_N, mask=inside_N, other=0)
        seen_N = inside_N & (mask_N != 0)
        seen_NM = mask_N[:, None]
    k_NR = load_rows(k_ptr, first, key_N, seen_N, R, padded_R)
    v_NW = load_rows(v_ptr, first, key_N, seen_N, W, padded_W)
    scale = tl.load(scale_ptr + head % heads)
    window = None
    if window_ptr is not None:
        window = tl.load(window_ptr + head % heads)
    dk_NR = tl.zeros([N, padded_R], tl.float32)
    dv_NW = tl.zeros([N, padded_W], tl.float32)

    begin = 0
    free = 0  # from here on, no query is cut off from a key of the tile
    if causal:
        begin = tile * N // M * M
        free = tl.cdiv(tl.minimum((tile + 1) * N, length), M) * M
    for past_edge in tl.static_range(0 if causal else 1, 2):
        for start in tl.range(begin + (free - begin) * past_edge, free + (length - free) * past_edge, M):
            query_M = start + tl.arange(0, M)
            inside_M = query_M < length
            q_MR = load_rows(q_ptr, first, query_M, inside_M, R, padded_R)
            grad_MW = load_rows(grad_ptr, first, query_M, inside_M, W, padded_W)
            lse_M = base_two(tl.load(lse_ptr + first + query_M, mask=inside_M, other=float("-inf")))
            delta_M = tl.load(delta_ptr + first + query_M, mask=inside_M, other=0.0)
            scores_NM = tl.dot(k_NR, tl.trans(q_MR), input_precision="ieee") * (scale * 1.4426950408889634)
            distance_NM = None
            if window_ptr is not None:
                distance_NM = distance(positions_ptr, query_M[None, :], key_N[:, None], length, axes)
            scores_NM = hide(
                scores_NM, query_M[None, :], key_N[:, None], seen_NM, distance_NM, window, length,
                past_edge == 0, causal,
            )  # fmt: skip
            weights_NM = tl.math.exp2(scores_NM - lse_M[None, :])
            dv_NW = tl.dot(weights_NM.to(grad_MW.dtype), grad_MW, dv_NW, input_precision="ieee")
            dweights_NM = tl.dot(v_NW, tl.trans(grad_MW), input_precision="ieee")
            dscores_NM = weights_NM * (dweights_NM - delta_M[None, :])
            dk_NR = tl.dot(dscores_NM.to(q_MR.dtype), q_MR, dk_NR, input_precision="ieee")
    store_rows(dk_ptr, dk_NR * scale, first, key_N, inside_N, R, padded_R)
    store_rows(dv_ptr, dv_NW, first, key_N, inside_N, W, padded_W)


@triton.jit
@no_type_check
def base_two(lse):
    """Turn a log-sum-exp into base 2, and that of a query that sees no key into inf: its weights are zeros."""
    return tl.where(lse == float("-inf"), float("inf"), lse * 1.4426950408889634)
