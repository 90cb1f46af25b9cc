r"""Attention and its statistics in one pass over the keys, on Triton.

A program holds a tile of queries and walks over tiles of keys. For a query with scores s_j (in units of
log 2), the running maximum m = max s_j, weights w_j = 2^(s_j - m) and the offsets x_j of the keys from the
query, it keeps

    l = sum w_j                    the denominator
    o = sum w_j v_j                so that the output is o / l
    a = sum w_j |x_j|              span = a / l
    c = sum w_j x_j / l            the attended position
    M = sum w_j |x_j - c|^2        locality = sqrt(M / l)
    e = sum w_j (s_j - m)          entropy = ln 2 (log2 l - e / l), two terms that are never negative
    z = sum w_j^2                  sum of squares = z / l^2

and the largest weight is 1 / l, because the largest w_j is 1. When a tile raises the maximum by d, the old
l, o, a and M are multiplied by r = 2^-d and z by r^2, and e becomes r (e - d l). A tile with denominator l',
mean c' and moment M' about its own mean is merged as by Chan, Golub and LeVeque (1979): with L = r l + l',

    M <- r M + M' + |c' - c|^2 r l l' / L        c <- c + (c' - c) l' / L

Moments about a mean, rather than E x^2 - (E x)^2, keep the locality of a head that looks sharply at a far key.
A query that sees no key has l = 0: its output and statistics are zeros and its log-sum-exp is -inf.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, UInt8
from torch import Tensor

from kernels.attention.triton.rows import load_rows, store_rows
from kernels.attention.triton.tiles import Kernel, padded, tiles_for
from kernels.attention.triton.visibility import distance, hide, offset

STATISTICS = 5


def forward(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    scale: Float[Tensor, " H"],
    causal: bool,
    window: Float[Tensor, " H"] | None,
    key_mask: UInt8[Tensor, "B S"] | None,
    positions: Float[Tensor, "S P"],
    statistics: bool,
) -> tuple[Float[Tensor, "B H S W"], Float[Tensor, "B H S"], Float[Tensor, "5 B H S"] | None]:
    """Return the output, the log-sum-exp (nats) and, when asked, statistics of each query.

    Parameters
    ----------
    q, k, v
        Queries, keys and values of one dtype (float32, float16 or bfloat16), contiguous.
    scale
        Factor of the scores of each head, float32.
    causal
        Hide the keys after the query.
    window
        A query sees a key if their distance is less than this, float32; None: however far.
    key_mask
        0 where a key is hidden from every query; None: none is.
    positions
        Where the tokens are, in at most 3 dimensions, float32.
    statistics
        Whether to return span, locality, entropy, sum of squares and largest weight, in this order.

    Raises
    ------
    ValueError
        If a head is wider than 128.
    """
    B, H, S, R = q.shape
    W = v.shape[-1]
    padded_R, padded_W = padded(R), padded(W)
    kernel: Kernel = "measured" if statistics else "forward"
    tiles = tiles_for(kernel, q.element_size(), max(padded_R, padded_W), S)
    output = torch.empty_like(v)
    lse = torch.empty(B, H, S, dtype=torch.float32, device=q.device)
    per_query = torch.empty(STATISTICS, B, H, S, dtype=torch.float32, device=q.device) if statistics else None
    with torch.cuda.device_of(q):
        _forward[(triton.cdiv(S, tiles.queries) * B * H,)](
            q, k, v, scale, window, key_mask, positions, output, lse, per_query,
            B * H * S, H, S, R, W, padded_R, padded_W, positions.shape[1],
            triton.next_power_of_2(positions.shape[1]), causal, tiles.queries, tiles.keys,
            num_warps=tiles.warps, num_stages=tiles.stages,
        )  # fmt: skip
    return output, lse, per_query


# M queries and N keys of a tile, R the width of a query, W of a value, A the axes of positions.
@triton.jit(do_not_specialize=["rows", "heads", "length"])
@no_type_check
def _forward(
    q_ptr, k_ptr, v_ptr, scale_ptr, window_ptr, key_mask_ptr, positions_ptr, output_ptr, lse_ptr, statistics_ptr,
    rows, heads, length, R: tl.constexpr, W: tl.constexpr, padded_R: tl.constexpr, padded_W: tl.constexpr,
    axes: tl.constexpr, padded_axes: tl.constexpr, causal: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(length, M)
    tile = tiles - 1 - tl.program_id(0) % tiles  # the longest rows of a causal head first
    head = tl.program_id(0) // tiles  # counted over the batch
    first = tl.cast(head, tl.int64) * length
    query_M = tile * M + tl.arange(0, M)
    inside_M = query_M < length
    q_MR = load_rows(q_ptr, first, query_M, inside_M, R, padded_R)
    factor = tl.load(scale_ptr + head % heads) * 1.4426950408889634  # log2 e
    window = None
    if window_ptr is not None:
        window = tl.load(window_ptr + head % heads)
    maximum_M = tl.full([M], float("-inf"), tl.float32)
    denominator_M = tl.zeros([M], tl.float32)
    output_MW = tl.zeros([M, padded_W], tl.float32)
    span_M = tl.zeros([M], tl.float32)
    centre_MA = tl.zeros([M, padded_axes], tl.float32)
    moment_M = tl.zeros([M], tl.float32)
    entropy_sum_M = tl.zeros([M], tl.float32)
    squares_M = tl.zeros([M], tl.float32)

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
                seen_MN = seen_N[None, :]
                inside_N = inside_N & (seen_N != 0)  # what is hidden is not read: it may be anything
            k_NR = load_rows(k_ptr, first, key_N, inside_N, R, padded_R)
            scores_MN = tl.dot(q_MR, tl.trans(k_NR), input_precision="ieee") * factor
            distance_MN = None
            if window_ptr is not None or statistics_ptr is not None:
                distance_MN = distance(positions_ptr, query_M[:, None], key_N[None, :], length, axes)
            scores_MN = hide(
                scores_MN, query_M[:, None], key_N[None, :], seen_MN, distance_MN, window, length, edge, causal
            )  # fmt: skip
            before_M = maximum_M
            maximum_M = tl.maximum(before_M, tl.max(scores_MN, 1))
            # Before anything is seen, -inf - -inf would be no number.
            finite_M = tl.where(maximum_M == float("-inf"), 0.0, maximum_M)
            scores_MN -= finite_M[:, None]
            weights_MN = tl.math.exp2(scores_MN)
            fall_M = before_M - finite_M
            ratio_M = tl.math.exp2(fall_M)
            old_M = ratio_M * denominator_M
            new_M = tl.sum(weights_MN, 1)
            denominator_M = old_M + new_M
            v_NW = load_rows(v_ptr, first, key_N, inside_N, W, padded_W)
            output_MW *= ratio_M[:, None]
            output_MW = tl.dot(weights_MN.to(v_NW.dtype), v_NW, output_MW, input_precision="ieee")
            if statistics_ptr is not None:
                # Below 2^-200 a weight is zero in float32, and zero times -inf is no number.
                entropy_sum_M = ratio_M * entropy_sum_M + tl.maximum(fall_M, -200.0) * old_M
                entropy_sum_M += tl.sum(weights_MN * tl.maximum(scores_MN, -200.0), 1)
                squares_M = ratio_M * ratio_M * squares_M + tl.sum(weights_MN * weights_MN, 1)
                span_M = ratio_M * span_M + tl.sum(weights_MN * distance_MN, 1)
                here_MA, spread_M = moments(
                    weights_MN, new_M, positions_ptr, query_M, key_N, length, axes, padded_axes
                )
                share_M = new_M / tl.where(denominator_M > 0, denominator_M, 1.0)
                shift_MA = here_MA - centre_MA
                moment_M = ratio_M * moment_M + spread_M + tl.sum(shift_MA * shift_MA, 1) * old_M * share_M
                centre_MA += shift_MA * share_M[:, None]

    divisor_M = tl.where(denominator_M == 0, 1.0, denominator_M)
    store_rows(output_ptr, output_MW / divisor_M[:, None], first, query_M, inside_M, W, padded_W)
    lse_M = (maximum_M + tl.math.log2(divisor_M)) * 0.6931471805599453  # ln 2
    tl.store(lse_ptr + first + query_M, lse_M, mask=inside_M)
    if statistics_ptr is not None:
        entropy_M = (tl.math.log2(divisor_M) - entropy_sum_M / divisor_M) * 0.6931471805599453
        to_M = statistics_ptr + first + query_M
        count = tl.cast(rows, tl.int64)
        tl.store(to_M, span_M / divisor_M, mask=inside_M)
        tl.store(to_M + count, tl.sqrt_rn(moment_M / divisor_M), mask=inside_M)
        tl.store(to_M + 2 * count, entropy_M, mask=inside_M)
        tl.store(to_M + 3 * count, squares_M / (divisor_M * divisor_M), mask=inside_M)
        tl.store(to_M + 4 * count, tl.where(denominator_M == 0, 0.0, 1.0 / divisor_M), mask=inside_M)


@triton.jit
@no_type_check
def moments(
    weights_MN, total_M, positions_ptr, query_M, key_N, length, axes: tl.constexpr, padded_axes: tl.constexpr
):
    """Mean offset of a tile's keys from each query, and the summed squares about it.

    Parameters
    ----------
    weights_MN, total_M
        Weights of the keys, and their sum for each query.
    positions_ptr
        Positions of the tokens, [length, axes].
    query_M, key_N
        Indices of the tile's queries and keys.
    length
        Number of tokens.
    axes, padded_axes
        Coordinates of a position, and that number rounded up to a power of two.
    """
    total_M = tl.where(total_M == 0, 1.0, total_M)
    axis_A = tl.arange(0, padded_axes)
    mean_MA = tl.zeros([total_M.shape[0], padded_axes], tl.float32)
    spread_M = tl.zeros_like(total_M)
    for axis in tl.static_range(axes):
        offset_MN = offset(positions_ptr, query_M[:, None], key_N[None, :], length, axis, axes)
        mean_M = tl.sum(weights_MN * offset_MN, 1) / total_M
        offset_MN -= mean_M[:, None]
        spread_M += tl.sum(weights_MN * offset_MN * offset_MN, 1)
        mean_MA = tl.where(axis_A[None, :] == axis, mean_M[:, None], mean_MA)
    return mean_MA, spread_M
