"""What a query may see, inside the Triton kernels: `query` and `key` are indices that broadcast to a tile."""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def offset(positions_ptr, query, key, length, axis, axes: tl.constexpr):
    """Signed distance of each key from each query along one axis.

    Parameters
    ----------
    positions_ptr
        Positions of the tokens, [length, axes].
    query, key
        Indices that broadcast to a tile.
    length
        Number of tokens.
    axis
        Which coordinate.
    axes
        Coordinates of a position.
    """
    from_ = tl.load(positions_ptr + query * axes + axis, mask=query < length, other=0.0)
    to = tl.load(positions_ptr + key * axes + axis, mask=key < length, other=0.0)
    return to - from_


@triton.jit
@no_type_check
def distance(positions_ptr, query, key, length, axes: tl.constexpr):
    """Euclidean distance, rounded correctly because a window has a sharp edge.

    Parameters
    ----------
    positions_ptr
        Positions of the tokens, [length, axes].
    query, key
        Indices that broadcast to a tile.
    length
        Number of tokens.
    axes
        Coordinates of a position.
    """
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
    """Set the scores of hidden pairs to -inf.

    Parameters
    ----------
    scores
        Scores of a tile.
    query, key
        Indices that broadcast to the tile.
    seen
        Zero where a key is hidden from every query; None: none is.
    distances
        Of the keys from the queries; read only beside a window.
    window
        A query sees a key at a distance under this; None: at any.
    length
        Number of tokens.
    edge
        Whether the tile reaches the causal boundary or the end.
    causal
        Whether to hide the keys after a query.
    """
    if edge:
        scores = tl.where(key < length, scores, float("-inf"))
        if causal:
            scores = tl.where(key <= query, scores, float("-inf"))
    if window is not None:
        scores = tl.where(distances < window, scores, float("-inf"))
    if seen is not None:
        scores = tl.where(seen != 0, scores, float("-inf"))
    return scores
