"""Attention on torch, a tile of the matrix at a time: memory grows with S, not with S x S.

A tile holds some queries of some heads against all the keys that they can see. With scores s_j of a query,
their maximum m, weights w_j = exp(s_j - m) and mass z = sum w_j,

    output = sum w_j v_j / z          lse = m + log z            largest = 1 / z, since the largest w_j is 1
    entropy = log z - sum w_j (s_j - m) / z                      sum_squares = sum w_j^2 / z^2

so that all but the two matrix products is passes over a tile that stays in the cache. Span and locality are
sums over the same weights; the locality about the mean, and not as E x^2 - (E x)^2, which loses the digits of
a head that looks sharply at a far key. The backward recomputes p = exp(s - lse) tile by tile: dv = p^T do,
ds = p (do v^T - rowsum(do o)), dq = scale ds k, dk = scale ds^T q (Dao, 2023, arXiv:2307.08691).

Why not `scaled_dot_product_attention`: its public form gives no log-sum-exp, without which backward and
statistics would begin again, and an output with statistics would not have the bits of one without. Without
statistics it is 1.1 to 1.8 times faster than these tiles (tests/benchmarks/attention.py). The entropy as
lse - scale q.(sum p k) would be one more matrix product, which costs more than two passes over the tile. Sums run
in a fixed order: the same inputs give the same bits.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.attention.sight import Sight

WHOLE = 128  # sequences up to this length are not divided
LN2 = math.log(2.0)
TILE = 2**17  # scores of a tile: 512 KiB in float32, so that scores and weights stay in the cache
ROWS = 64  # queries of a block are a multiple of this


def forward(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    sight: Sight,
    statistics: bool,
) -> tuple[Float[Tensor, "B H S W"], Float[Tensor, "B H S"], Float[Tensor, "5 B H S"] | None]:
    """Give the output, the log-sum-exp and, when asked, span, locality, entropy, sum of squares and largest."""
    q_NSR, k_NSR, v_NSW = _flat(_scaled(q, sight), k, v)
    output_NSW = torch.empty_like(v_NSW)
    sums = q_NSR.new_empty(6 if statistics else 2, *q_NSR.shape[:2])
    room = _room(q_NSR, 3)
    for block in _blocks(q, sight):
        rows, columns = block.rows, block.columns
        for heads, hide in block.tiles():
            s_nQK, w_nQK, spare_nQK = block.carved(room, heads)
            top_nQ, mass_nQ, *others = sums[:, heads, rows].unbind()
            hide(torch.bmm(q_NSR[heads, rows], k_NSR[heads, columns].mT, out=s_nQK))
            torch.amax(s_nQK, -1, out=top_nQ).clamp_min_(_hidden(s_nQK.dtype) / 2)
            if not statistics:
                w_nQK = s_nQK  # which nothing else asks for then, and the cache has room for other things
            torch.exp2(s_nQK.sub_(top_nQ.unsqueeze(-1)), out=w_nQK)
            torch.sum(w_nQK, -1, out=mass_nQ)
            torch.bmm(w_nQK, v_NSW[heads, columns], out=output_NSW[heads, rows])
            if statistics:
                block.look(s_nQK, w_nQK, mass_nQ, spare_nQK, *others)
    top_NS, mass_NS, *others = sums.unbind()
    lse_NS = (top_NS + mass_NS.log2()).mul_(LN2)
    mass_NS.clamp_min_(1.0)  # it is at least 1, or 0 if nothing is seen
    output_NSW.div_(mass_NS.unsqueeze(-1))
    per_query = _per_query(mass_NS, *others).unflatten(1, v.shape[:2]) if statistics else None
    return output_NSW.to(v.dtype).view(v.shape), lse_NS.view(v.shape[:3]), per_query


def backward(
    grad_output: Float[Tensor, "B H S W"],
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    output: Float[Tensor, "B H S W"],
    lse: Float[Tensor, "B H S"],
    sight: Sight,
) -> tuple[Float[Tensor, "B H S R"], Float[Tensor, "B H S R"], Float[Tensor, "B H S W"]]:
    """Give the gradients of queries, keys and values."""
    q_NSR, k_NSR, v_NSW = _flat(_scaled(q, sight), k, v)
    do_NSW, o_NSW = _flat(grad_output.to(sight.scale.dtype), output)
    delta_NS1 = (do_NSW * o_NSW).sum(-1, keepdim=True)
    # A query that sees nothing has no weights: 2^(s - inf) = 0.
    lse_NS1 = lse.masked_fill(lse == -torch.inf, torch.inf).div_(LN2).flatten(0, 1).unsqueeze(-1)
    whole = (
        q.shape[2] <= WHOLE
    )  # then the only block gives all of the sums, which need no zeros to start from
    begun = torch.empty_like if whole else torch.zeros_like
    dq_NSR, dk_NSR, dv_NSW = torch.empty_like(q_NSR), begun(k_NSR), begun(v_NSW)
    room = _room(q_NSR, 2)
    for block in _blocks(q, sight):
        rows, columns = block.rows, block.columns
        for heads, hide in block.tiles():
            q_nQR, k_nKR, do_nQW = q_NSR[heads, rows], k_NSR[heads, columns], do_NSW[heads, rows]
            p_nQK, ds_nQK = block.carved(room, heads)
            hide(torch.bmm(q_nQR, k_nKR.mT, out=p_nQK)).sub_(lse_NS1[heads, rows]).exp2_()
            dv_NSW[heads, columns].baddbmm_(p_nQK.mT, do_nQW, beta=0 if whole else 1)
            torch.bmm(do_nQW, v_NSW[heads, columns].mT, out=ds_nQK).sub_(delta_NS1[heads, rows]).mul_(p_nQK)
            torch.bmm(ds_nQK, k_nKR, out=dq_NSR[heads, rows])
            dk_NSR[heads, columns].baddbmm_(ds_nQK.mT, q_nQR, beta=0 if whole else 1)
    dq = dq_NSR.view(q.shape).mul_(sight.scale[:, None, None])
    dk = dk_NSR.view(k.shape).mul_(LN2)
    return dq.to(q.dtype), dk.to(k.dtype), dv_NSW.view(v.shape).to(v.dtype)


def _scaled(q_BHSR: Tensor, sight: Sight) -> Tensor:
    """Scale queries so that their scores are in units of log 2.

    torch's exp2 takes as long for all numbers, its exp 35 times longer where the result is zero, as half of all
    are under a causal mask.
    """
    return q_BHSR.to(sight.scale.dtype) * (sight.scale / LN2)[:, None, None]


def _per_query(mass: Tensor, span: Tensor, spread: Tensor, surprise: Tensor, norm: Tensor) -> Tensor:
    """Span, locality, entropy, sum of squares and largest weight from the sums over the keys."""
    entropy = (mass.log2() - surprise / mass) * LN2
    return torch.stack(
        [span / mass, (spread / mass).sqrt(), entropy, (norm / mass).square(), mass.reciprocal()]
    )


def _flat(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Examples and heads as one axis N = B H, in the dtype of the arithmetic: that of the first tensor."""
    return tuple(tensor.to(tensors[0].dtype).flatten(0, 1) for tensor in tensors)


def _hidden(dtype: torch.dtype) -> float:
    """What is added to the score of a hidden key.

    Finite, for 0 x -inf would spoil the entropy, and small enough that two of them can be added. Half of it is
    under every score that can be computed with and over every hidden one.
    """
    return torch.finfo(dtype).min / 4


@dataclass(frozen=True)
class _Block:
    """Consecutive queries of all heads, against the keys that one of them can see."""

    sight: Sight
    shape: tuple[int, int]  # B, H
    rows: slice
    columns: slice
    heads_of_a_tile: int

    def tiles(self) -> Iterator[tuple[slice, Callable[[Tensor], Tensor]]]:
        """Give parts of the axis N = B H, each with the function that hides its scores in place.

        A part is some heads of one example or all heads of some examples.
        """
        B, H = self.shape
        most = self.heads_of_a_tile
        step_B, step_H = max(1, most // H), min(most, H)
        for b, h in product(range(0, B, step_B), range(0, H, step_H)):
            examples, heads = slice(b, min(b + step_B, B)), slice(h, min(h + step_H, H))
            part = slice(b * H + h, (examples.stop - 1) * H + heads.stop)
            yield part, partial(self._hide, examples, heads)

    def carved(self, room: Tensor, part: slice) -> tuple[Tensor, ...]:
        """Shape room for the scores of some heads, [n, Q, K]."""
        size = [part.stop - part.start, *(axis.stop - axis.start for axis in (self.rows, self.columns))]
        return room[:, : math.prod(size)].view(-1, *size).unbind()

    def _hide(self, examples: slice, heads: slice, s_nQK: Tensor) -> Tensor:
        if self.future is not None:
            s_nQK[..., self.rows.start - self.columns.start :].add_(self.future)
        s_bhQK = s_nQK.unflatten(0, (examples.stop - examples.start, -1))
        if self.outside is not None:
            s_bhQK.add_(self.outside[heads])
        if self.sight.key_mask is not None:
            s_bhQK.add_(self._bias(self.sight.key_mask[examples, None, None, self.columns]))
        return s_nQK

    def look(
        self,
        s_nQK: Tensor,
        w_nQK: Tensor,
        mass_nQ: Tensor,
        spare_nQK: Tensor,
        span_nQ: Tensor,
        spread_nQ: Tensor,
        surprise_nQ: Tensor,
        norm_nQ: Tensor,
    ) -> None:
        """Fill in sum w |x_i - x|, sum w |x - m|^2, sum w (s - top) and the root of sum w^2; uses `s_nQK` up."""
        torch.sum(torch.mul(w_nQK, self.distances, out=spare_nQK), -1, out=span_nQ)
        spread_nQ.zero_()
        for place_K in self.places:
            middle_nQ = (w_nQK @ place_K).div_(mass_nQ)
            torch.sub(place_K, middle_nQ.unsqueeze(-1), out=spare_nQK)
            spread_nQ.add_(spare_nQK.square_().mul_(w_nQK).sum(-1))
        torch.sum(s_nQK.mul_(w_nQK), -1, out=surprise_nQ)
        torch.linalg.vector_norm(w_nQK, dim=-1, out=norm_nQ)

    @cached_property
    def places(self) -> list[Tensor]:
        """Each coordinate of the keys, [K]."""
        return [place.contiguous() for place in self.sight.places(self.columns).unbind(-1)]

    @cached_property
    def distances(self) -> Tensor:
        """Distances of the keys from the queries, [Q, K]."""
        return self.sight.distances(self.rows, self.columns)

    @cached_property
    def future(self) -> Tensor | None:
        """What hides the keys after a query, [Q, Q]; the last Q columns are the queries' own."""
        if not self.sight.causal:
            return None
        length = self.rows.stop - self.rows.start
        seen = torch.ones(length, length, dtype=torch.bool, device=self.sight.scale.device)
        return self._bias(seen.tril_())

    @cached_property
    def outside(self) -> Tensor | None:
        """What hides the keys outside the window of a head, [H, Q, K]."""
        window = self.sight.window
        return None if window is None else self._bias(self.distances < window[:, None, None])

    def _bias(self, seen: Tensor) -> Tensor:
        dtype = self.sight.scale.dtype
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, _hidden(dtype))


def _blocks(q_BHSR: Tensor, sight: Sight) -> Iterator[_Block]:
    """Divide the queries into blocks."""
    B, H, S, _ = q_BHSR.shape
    height, heads_of_a_tile = _tile(B * H, S)
    reach = _reach(sight, S)
    for start in range(0, S, height):
        stop = min(start + height, S)
        columns = slice(max(0, start - reach), stop if sight.causal else min(S, stop + reach))
        yield _Block(sight, (B, H), slice(start, stop), columns, heads_of_a_tile)


def _tile(N: int, S: int) -> tuple[int, int]:
    """Queries and heads of a tile."""
    if S <= WHOLE:
        return S, min(N, max(1, 2 * TILE // S**2))  # calls cost more than the cache
    height = min(S, max(1, TILE // (S * ROWS)) * ROWS)
    return height, min(N, max(1, TILE // (height * S)))


def _room(q_NSR: Tensor, tiles: int) -> Tensor:
    """Memory for some tiles, allocated once: new memory costs more than what is computed in it."""
    N, S, _ = q_NSR.shape
    return q_NSR.new_empty(tiles, math.prod(_tile(N, S)) * S)


def _reach(sight: Sight, S: int) -> int:
    """How many tokens away the farthest key is that a query can see."""
    if sight.window is None or sight.positions is not None:
        return S
    widest = sight.window.nan_to_num(nan=1.0).clamp(1.0, S)
    return math.ceil(float(widest.max())) - 1
