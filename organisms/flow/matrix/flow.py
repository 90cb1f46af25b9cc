"""A sparse token-token flow, and its two forms: applied to values, or as a matrix.

Shape suffixes: B examples, C channels, S tokens, K chosen positions, V width of a channel's values.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from kernels.exporting import exporting
from organisms.flow.matrix.positions import Positions, distances, flat


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Row t of channel c gives weight [b, c, t, k] to position senders[b, c, t, k]; each row sums to its intensity."""

    weights: Tensor  # [B, C, S, K], not negative
    positions: Positions


def applied(flow: Flow, values: Float[Tensor, "B C S V"]) -> Float[Tensor, "B C S V"]:
    """Return sum_k w_tk v_(s_tk): what every token receives, in S K V products."""
    if exporting():
        return _of_gathered(flow, values)
    # A bag is summed as it is read, so that the chosen values [B, C, S, K, V] are never held.
    bags = F.embedding_bag(
        flat(flow.positions.senders).flatten(0, 2),
        values.flatten(0, 2),
        per_sample_weights=flow.weights.flatten(0, 2),
        mode="sum",
    )
    return bags.view(values.shape)


def _of_gathered(flow: Flow, values: Tensor) -> Tensor:
    """Return the same from the chosen values [B, C, S, K, V], which are held."""
    chosen_BCSKV = F.embedding(flat(flow.positions.senders), values.flatten(0, 2))
    return (flow.weights.unsqueeze(-1) * chosen_BCSKV).sum(-2)


def materialised(flow: Flow) -> Float[Tensor, "B C S S"]:
    """Return the whole matrix, receivers in rows, for looking at it and for short sequences."""
    B, C, S, _ = flow.weights.shape
    empty = flow.weights.new_zeros(B, C, S, S)
    return empty.scatter_add(-1, flow.positions.senders, flow.weights)


@torch.no_grad()
def flow_metrics(flow: Flow, intensity: Float[Tensor, "B C S"]) -> dict[str, Tensor]:
    """Return how far, how widely, how sparsely and how strongly a flow moves, each [C], means over tokens.

    ``flow_span`` is sum_k p_k |t - s_k| and ``flow_locality`` the standard deviation of s_k, in tokens, p being a row's
    weights over their sum; ``flow_positions`` is 1 / sum_k p_k^2, the positions that a row in effect receives from.
    """
    p = flow.weights / flow.weights.sum(-1, keepdim=True).clamp_min(torch.finfo(flow.weights.dtype).tiny)
    away = distances(flow.positions).to(p.dtype)
    sent_from = flow.positions.senders.to(p.dtype)
    middle = (p * sent_from).sum(-1, keepdim=True)
    rows = {
        "flow_span": (p * away).sum(-1),
        "flow_locality": (p * (sent_from - middle).square()).sum(-1).sqrt(),
        "flow_positions": 1 / p.square().sum(-1),
        "flow_intensity": intensity,
    }
    return {name: each.mean((0, 2)) for name, each in rows.items()}
