"""Attention on torch, a tile of the matrix at a time: memory grows with S, not with S x S.

A tile holds some queries of some heads against all the keys that they can see. With scores s_j of a query,
their maximum m, weights w_j = exp(s_j - m) and denominator z = sum w_j,

    output = sum w_j v_j / z          lse = m + log z            largest = 1 / z, since the largest w_j is 1
    entropy = log z - sum w_j (s_j - m) / z                      sum_squares = sum w_j^2 / z^2

so that all but the two matrix products is passes over a tile that stays in the cache. Span and locality are
sums over the same weights; the locality about the mean, and not as E x^2 - (E x)^2, which loses the digits of
a head that looks sharply at a far key. The backward recomputes p = exp(s - lse) tile by tile: dv = p^T do,
ds = p (do v^T - rowsum(do o)), dq = scale ds k, dk = scale ds^T q (Dao, 2023, arXiv:2307.08691).

The entropy as lse - scale q.(sum p k) would be one more matrix product, which costs more than two passes over the
tile. Sums run in a fixed order: the same inputs give the same bits.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.attention.visibility import Visibility, bias, hidden

WHOLE = 128  # sequences up to this length are not divided
LN2 = math.log(2.0)
TILE = 2**17  # scores of a tile: 512 KiB in float32, so that scores and weights stay in the cache
ROWS = 64  # queries of a block are a multiple of this


def forward(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    visibility: Visibility,
    statistics: bool,
) -> tuple[Float[Tensor, "B H S W"], Float[Tensor, "B H S"], Float[Tensor, "5 B H S"] | None]:
    """Return the output, the log-sum-exp and, when asked, the statistics of every query.

    Parameters
    ----------
    q, k
        Queries and keys, [B, H, S, R].
    v
        Values, [B, H, S, W].
    visibility
        Scale of the scores, and which query sees which key.
    statistics
        Whether to return those as well, [5, B, H, S].
    """
    q_NSR, k_NSR, v_NSW = _flat(visibility, q, k, v)
    scale_N11 = _scale(visibility, len(q))
    output_NSW = torch.empty_like(v_NSW)
    sums = q_NSR.new_empty(6 if statistics else 2, *q_NSR.shape[:2])
    workspace = _workspace(q_NSR)
    for tile in _tiles(q, visibility):
        rows, columns = tile.rows, tile.columns
        s_nQK, w_nQK = tile.views(workspace)
        maximum_nQ, denominator_nQ, *others = sums[:, *rows].unbind()
        q_nQR, o_nQW = q_NSR[rows] * scale_N11[tile.part], output_NSW[rows]
        tile.hide(torch.bmm(q_nQR, k_NSR[columns].mT, out=s_nQK))
        torch.amax(s_nQK, -1, out=maximum_nQ).clamp_min_(hidden(s_nQK.dtype) / 2)
        torch.exp2(s_nQK.sub_(maximum_nQ.unsqueeze(-1)), out=w_nQK)
        torch.sum(w_nQK, -1, out=denominator_nQ)
        torch.bmm(w_nQK, v_NSW[columns], out=o_nQW).div_(_divisor(denominator_nQ).unsqueeze(-1))
        if statistics:
            tile.measure(s_nQK, w_nQK, denominator_nQ, *others)
    maximum_NS, denominator_NS, *others = sums.unbind()
    lse_NS = (maximum_NS + denominator_NS.log2()).mul_(LN2)
    output, lse = output_NSW.to(v.dtype).view(v.shape), lse_NS.view(v.shape[:3])
    if not statistics:
        return output, lse, None
    return output, lse, _per_query(_divisor(denominator_NS), *others).unflatten(1, v.shape[:2])


def backward(
    grad_output: Float[Tensor, "B H S W"],
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    output: Float[Tensor, "B H S W"],
    lse: Float[Tensor, "B H S"],
    visibility: Visibility,
) -> tuple[Float[Tensor, "B H S R"], Float[Tensor, "B H S R"], Float[Tensor, "B H S W"]]:
    """Return the gradients of queries, keys and values.

    Parameters
    ----------
    grad_output
        Gradient of the output, [B, H, S, W].
    q, k
        Queries and keys, [B, H, S, R].
    v
        Values, [B, H, S, W].
    output, lse
        What `forward` returned, [B, H, S, W] and [B, H, S].
    visibility
        Scale of the scores, and which query sees which key.
    """
    q_NSR, k_NSR, v_NSW, do_NSW, o_NSW = _flat(visibility, q, k, v, grad_output, output)
    q_NSR = q_NSR * _scale(visibility, len(q))
    delta_NS1 = (do_NSW * o_NSW).sum(-1, keepdim=True)
    # A query that sees nothing has no weights: 2^(s - inf) = 0.
    lse_NS1 = lse.masked_fill(lse == -torch.inf, torch.inf).div_(LN2).flatten(0, 1).unsqueeze(-1)
    # The only tile of a head gives all of the sums, which then need no zeros to start from.
    whole = q.shape[2] <= WHOLE
    begun = torch.empty_like if whole else torch.zeros_like
    dq_NSR, dk_NSR, dv_NSW = torch.empty_like(q_NSR), begun(k_NSR), begun(v_NSW)
    workspace = _workspace(q_NSR)
    for tile in _tiles(q, visibility):
        rows, columns = tile.rows, tile.columns
        q_nQR, k_nKR, do_nQW = q_NSR[rows], k_NSR[columns], do_NSW[rows]
        p_nQK, ds_nQK = tile.views(workspace)
        tile.hide(torch.bmm(q_nQR, k_nKR.mT, out=p_nQK)).sub_(lse_NS1[rows]).exp2_()
        dv_NSW[columns].baddbmm_(p_nQK.mT, do_nQW, beta=0 if whole else 1)
        torch.bmm(do_nQW, v_NSW[columns].mT, out=ds_nQK).sub_(delta_NS1[rows]).mul_(p_nQK)
        torch.bmm(ds_nQK, k_nKR, out=dq_NSR[rows])
        dk_NSR[columns].baddbmm_(ds_nQK.mT, q_nQR, beta=0 if whole else 1)
    dq = dq_NSR.view(q.shape).mul_(visibility.scale[:, None, None])
    dk = dk_NSR.view(k.shape).mul_(LN2)
    return dq.to(q.dtype), dk.to(k.dtype), dv_NSW.view(v.shape).to(v.dtype)


def _scale(visibility: Visibility, examples: int) -> Tensor:
    """What queries [B H, S, R] are multiplied by, so that their scores are in units of log 2: [B H, 1, 1].

    torch's exp2 takes as long for all numbers, its exp 35 times longer where the result is zero, as half of all
    are under a causal mask.
    """
    return (visibility.scale / LN2).repeat(examples)[:, None, None]


def _divisor(denominator: Tensor) -> Tensor:
    """What to divide by: the denominator of a softmax is at least 1, or 0 if nothing is seen."""
    return denominator.clamp_min(1.0)


def _per_query(
    denominator: Tensor, span: Tensor, spread: Tensor, entropy_sum: Tensor, norm: Tensor
) -> Tensor:
    """Span, locality, entropy, sum of squares and largest weight from the sums over the keys."""
    entropy = (denominator.log2() - entropy_sum / denominator) * LN2
    return torch.stack(
        [
            span / denominator,
            (spread / denominator).sqrt(),
            entropy,
            (norm / denominator).square(),
            denominator.reciprocal(),
        ]
    )


def _flat(visibility: Visibility, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Examples and heads as one axis N = B H, contiguous and in the dtype of the arithmetic."""
    return tuple(tensor.to(visibility.scale.dtype).contiguous().flatten(0, 1) for tensor in tensors)


@dataclass(frozen=True)
class _Band:
    """Consecutive queries, and the keys that one of them can see: the same for all heads."""

    visibility: Visibility
    queries: slice
    keys: slice

    @cached_property
    def places(self) -> list[Tensor]:
        """Each coordinate of the keys, [K]."""
        return [place.contiguous() for place in self.visibility.places(self.keys).unbind(-1)]

    @cached_property
    def distances(self) -> Tensor:
        """Distances of the keys from the queries, [Q, K]."""
        return self.visibility.distances(self.queries, self.keys)

    @cached_property
    def future(self) -> Tensor:
        """What hides the keys after a query, [Q, Q]; the last Q keys are the queries' own."""
        length = self.queries.stop - self.queries.start
        seen = torch.ones(length, length, dtype=torch.bool, device=self.visibility.scale.device)
        return bias(seen.tril_(), self.visibility.scale.dtype)


@dataclass(frozen=True, slots=True)
class _Tile:
    """A band for some heads of an example, or for all heads of some examples."""

    band: _Band
    examples: slice
    heads: slice
    part: slice  # the same of the axis N = B H

    @property
    def rows(self) -> tuple[slice, slice]:
        """Where the queries are, in [N, S]."""
        return self.part, self.band.queries

    @property
    def columns(self) -> tuple[slice, slice]:
        """Where the keys are, in [N, S]."""
        return self.part, self.band.keys

    def views(self, workspace: Tensor) -> tuple[Tensor, ...]:
        """Return views of the workspace as two matrices of the tile, [n, Q, K] each."""
        size = [axis.stop - axis.start for axis in (*self.rows, self.band.keys)]
        return workspace[:, : math.prod(size)].view(-1, *size).unbind()

    def hide(self, s_nQK: Tensor) -> Tensor:
        """Hide the scores of keys that are not seen, in place."""
        visibility, band = self.band.visibility, self.band
        if visibility.causal:
            s_nQK[..., band.queries.start - band.keys.start :].add_(band.future)
        s_bhQK = s_nQK.unflatten(0, (self.examples.stop - self.examples.start, -1))
        if visibility.window is not None:
            s_bhQK.add_(bias(band.distances < visibility.window[self.heads, None, None], s_nQK.dtype))
        if visibility.key_mask is not None:
            s_bhQK.add_(bias(visibility.key_mask[self.examples, None, None, band.keys], s_nQK.dtype))
        return s_nQK

    def measure(
        self,
        s_nQK: Tensor,
        w_nQK: Tensor,
        denominator_nQ: Tensor,
        span_nQ: Tensor,
        spread_nQ: Tensor,
        entropy_sum_nQ: Tensor,
        norm_nQ: Tensor,
    ) -> None:
        """Fill in sum w |x_i - x|, sum w |x - m|^2, sum w (s - maximum) and the root of sum w^2; overwrites `s_nQK`."""
        torch.sum(s_nQK.mul_(w_nQK), -1, out=entropy_sum_nQ)
        torch.linalg.vector_norm(w_nQK, dim=-1, out=norm_nQ)
        torch.sum(torch.mul(w_nQK, self.band.distances, out=s_nQK), -1, out=span_nQ)
        spread_nQ.zero_()
        for place_K in self.band.places:
            middle_nQ = (w_nQK @ place_K).div_(denominator_nQ)
            torch.sub(place_K, middle_nQ.unsqueeze(-1), out=s_nQK)
            spread_nQ.add_(s_nQK.square_().mul_(w_nQK).sum(-1))


def _tiles(q_BHSR: Tensor, visibility: Visibility) -> Iterator[_Tile]:
    """Divide the matrix, band by band."""
    B, H, S, _ = q_BHSR.shape
    height, most = _tile(B * H, S)
    reach = _reach(visibility, S)
    step_B, step_H = max(1, most // H), min(most, H)
    for start in range(0, S, height):
        stop = min(start + height, S)
        keys = slice(max(0, start - reach), stop if visibility.causal else min(S, stop + reach))
        band = _Band(visibility, slice(start, stop), keys)
        for b, h in product(range(0, B, step_B), range(0, H, step_H)):
            examples, heads = slice(b, min(b + step_B, B)), slice(h, min(h + step_H, H))
            yield _Tile(band, examples, heads, slice(b * H + h, (examples.stop - 1) * H + heads.stop))


def _tile(N: int, S: int) -> tuple[int, int]:
    """Queries and heads of a tile."""
    if S <= WHOLE:
        return S, min(N, max(1, 2 * TILE // S**2))  # calls cost more than the cache
    height = min(S, max(1, TILE // (S * ROWS)) * ROWS)
    return height, min(N, max(1, TILE // (height * S)))


def _workspace(q_NSR: Tensor) -> Tensor:
    """Memory for two tiles, allocated once: new memory costs more than what is computed in it."""
    N, S, _ = q_NSR.shape
    return q_NSR.new_empty(2, math.prod(_tile(N, S)) * S)


def _reach(visibility: Visibility, S: int) -> int:
    """How many tokens away the farthest key is that a query can see."""
    if visibility.window is None or visibility.positions is not None:
        return S
    widest = visibility.window.nan_to_num(nan=1.0).clamp(1.0, S)
    return math.ceil(float(widest.max())) - 1
