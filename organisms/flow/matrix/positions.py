"""The second level of sparsity: each row of a flow holds K positions.

They are chosen without a graph, a tile of the matrix at a time; scores of the chosen are computed again, in a graph.
So the gradient's work and memory grow with S K, and no matrix of S x S is ever held.

Shape suffixes: B examples, C channels, S tokens, K chosen positions, R reduced width.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from kernels.exporting import exporting
from organisms.flow.matrix.distance import distance_cost

ROWS = 64, 256  # fewest and most receivers of a tile: between them, as many as the window is long


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """Whom each token receives from in each channel, in falling order of the scores."""

    senders: Tensor  # int64 [B, C, S, K]
    seen: Tensor  # bool [B, C, S, K]; False: fewer than K could be seen, and the sender is the token itself


@torch.no_grad()
def choose_positions(
    q: Float[Tensor, "B C S R"],
    k: Float[Tensor, "B C S R"],
    decay: Float[Tensor, "B C S"],
    reach: Float[Tensor, "B S"] | None,
    *,
    top_k: int,
    window: int | None,
    causal: bool,
) -> Positions:
    """Return the K positions of the highest scores for every token and channel.

    Parameters
    ----------
    q, k
        What tokens look for and what they offer, [B, C, S, R].
    decay, reach
        As `chosen_scores` takes them.
    top_k
        K, the same for all tokens, however few of them it can see.
    window
        W: a sender is seen at a distance under it; None: at any.
    causal
        Whether later senders are hidden.
    """
    S = q.shape[2]
    places = torch.arange(S, device=q.device)
    if exporting():
        return _of_whole_matrix(q @ k.mT, places, decay, reach, top_k, window, causal)
    senders = places[:, None].expand(*q.shape[:3], top_k).clone()
    seen = torch.zeros_like(senders, dtype=torch.bool)
    widest = window or S
    height = min(max(widest, ROWS[0]), ROWS[1])
    for start in range(0, S, height):
        rows = slice(start, min(start + height, S))
        behind, ahead = min(widest, rows.stop) - 1, 0 if causal else min(widest, S - start) - 1
        offsets = torch.arange(-behind, ahead + 1, device=q.device)
        scores = _band(q[:, :, rows], _between(k, start - behind, rows.stop + ahead), len(offsets))
        far = None if reach is None else reach[:, None, rows, None]
        scores -= distance_cost(offsets.abs().to(q.dtype), decay[:, :, rows, None], far)
        own = places[rows, None]
        if start < behind or rows.stop + ahead > S:
            beyond = (own + offsets < 0) | (own + offsets >= S)
            scores.masked_fill_(beyond, -torch.inf)
        best = scores.topk(min(top_k, len(offsets)))
        found = best.values != -torch.inf  # what is not a number is kept, so that it is noticed
        width = found.shape[-1]
        seen[:, :, rows, :width] = found
        senders[:, :, rows, :width] = torch.where(found, best.indices + (own - behind), own)
    return Positions(senders, seen)


def _of_whole_matrix(
    scores_BCSS: Tensor,
    places: Tensor,
    decay: Tensor,
    reach: Tensor | None,
    top_k: int,
    window: int | None,
    causal: bool,
) -> Positions:
    """Return the same positions, whatever S is, from the products of all receivers and senders."""
    own = places[:, None]
    far = None if reach is None else reach[:, None, :, None]
    scores = scores_BCSS - distance_cost((places - own).abs().to(scores_BCSS.dtype), decay[..., None], far)
    hidden = places > own if causal else torch.zeros_like(places > own)
    if window is not None:
        hidden = hidden | ((places - own).abs() >= window)
    # Columns that nobody sees, so that there are K to choose from, however short the sequence.
    scores = F.pad(scores.masked_fill(hidden, -torch.inf), (0, top_k), value=-torch.inf)
    best = scores.topk(top_k)
    found = best.values != -torch.inf
    return Positions(torch.where(found, best.indices, own), found)


def _between(k_BCSR: Tensor, start: int, stop: int) -> Tensor:
    """Return the senders of these places; zeros before the first and after the last."""
    S = k_BCSR.shape[2]
    return F.pad(k_BCSR[:, :, max(start, 0) : min(stop, S)], (0, 0, max(-start, 0), max(stop - S, 0)))


def _band(q_BCQR: Tensor, k_BCNR: Tensor, width: int) -> Tensor:
    """Return the products of each receiver with the senders from its own on, [B, C, Q, width], one further a row."""
    whole = (q_BCQR @ k_BCNR.mT).contiguous()
    *outer, down, _ = whole.stride()
    # A diagonal is a row of a matrix that is longer by one: what no receiver sees is never looked at.
    return whole.as_strided((*whole.shape[:-1], width), (*outer, down + 1, 1))


def chosen_scores(
    q: Float[Tensor, "B C S R"],
    k: Float[Tensor, "B C S R"],
    decay: Float[Tensor, "B C S"],
    reach: Float[Tensor, "B S"] | None,
    positions: Positions,
) -> Float[Tensor, "B C S K"]:
    """Return q_t k_s - decay_t log(1 + |t - s|) - max(0, |t - s| - reach_t) of the chosen s, -inf of the others.

    Parameters
    ----------
    q, k
        What tokens look for and what they offer, [B, C, S, R].
    decay
        Of each token and channel, [B, C, S].
    reach
        Of each token, in tokens, [B, S]; None: there is no limit.
    positions
        The chosen ones.
    """
    k_BCSKR = F.embedding(flat(positions.senders), k.flatten(0, 2))
    scores = (k_BCSKR @ q.unsqueeze(-1)).squeeze(-1)
    reach_B1S1 = None if reach is None else reach[:, None, :, None]
    cost = distance_cost(distances(positions).to(q.dtype), decay.unsqueeze(-1), reach_B1S1)
    return (scores - cost).masked_fill(~positions.seen, -torch.inf)


def distances(positions: Positions) -> Tensor:
    """Return |t - s| for each chosen s, int64 [B, C, S, K]."""
    S = positions.senders.shape[2]
    return (torch.arange(S, device=positions.senders.device)[:, None] - positions.senders).abs()


def flat(senders: Tensor) -> Tensor:
    """Return positions [B, C, S, K] as rows of what is flattened from [B, C, S, ...] to [B C S, ...]."""
    B, C, S, _ = senders.shape
    first = torch.arange(B * C, device=senders.device).mul(S).view(B, C, 1, 1)
    return senders + first
