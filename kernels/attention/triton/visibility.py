"""What a query may see, inside the Triton kernels: `query` and `key` are indices that broadcast to a tile."""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def offset(positions_ptr, query, key, length, axis, axes: tl.constexpr):
    """How far each key lies from each query along one axis."""
    from_ = tl.load(positions_ptr + query * axes + axis, mask=query < length, other=0.0)
    to = tl.load(positions_ptr + key * axes + axis, mask=key < length, other=0.0)
    return to - from_


@triton.jit
@no_type_check
def distance(positions_ptr, query, key, length, axes: tl.constexpr):
    """Euclidean; rounded correctly, because a window has a sharp edge."""
    if axes == 1:
        return tl.abs(offset(positions_ptr, query, key, length, 0, axes))
    squares = 0.0
    for axis in tl.static_range(axes):
        along = offset(positions_ptr, query, key, length, axis, axes)
        squares += along * along
    return tl.sqrt_rn(squares)


@triton.jit
@no_type_check
def hide(scores, query, key, seen, distances, window, length, edge: tl.constexpr, causal: tl.constexpr):
    """Set to -inf the scores of hidden pairs; `edge`: a tile that reaches the causal boundary or the end."""
    if edge:
        scores = tl.where(key < length, scores, float("-inf"))
        if causal:
            scores = tl.where(key <= query, scores, float("-inf"))
    if window is not None:
        scores = tl.where(distances < window, scores, float("-inf"))
    if seen is not None:
        scores = tl.where(seen != 0, scores, float("-inf"))
    return scores
