"""Multi-head attention under a given mask, with one scale per head, and its mean weights on short sequences."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kernels.attention import reference


def masked_attention(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    scale: Float[Tensor, " H"],
    mask: Bool[Tensor, "#H S S"],
) -> Float[Tensor, "B H S W"]:
    """Mix the values of the visible positions: softmax(scale q k^T + mask) v.

    Parameters
    ----------
    q, k
        Queries and keys, [B, H, S, R].
    v
        Values, [B, H, S, W]; W need not equal R.
    scale
        Factor of the scores of each head, [H].
    mask
        True where a query (row) may see a key (column), [H, S, S] or [1, S, S]. Every query must see
        at least one key.
    """
    bias = torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill_(~mask, -torch.inf)
    scores = torch.matmul(q * scale[:, None, None], k.transpose(-1, -2)) + bias
    return torch.softmax(scores, dim=-1) @ v


@dataclass(frozen=True, slots=True, eq=False)
class MaskedAttentionStatistics:
    """Where each head looks, averaged over examples and queries; each [H]."""

    span: Tensor  # mean of weight x distance, in the unit of the distances
    locality: Tensor  # standard deviation of the attended position, in the same unit
    pattern: Tensor  # [H, S, S]: the mean weights over examples


def masked_attention_with_statistics(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    scale: Float[Tensor, " H"],
    mask: Bool[Tensor, "#H S S"],
    positions: Float[Tensor, "S P"],
) -> tuple[Float[Tensor, "B H S W"], MaskedAttentionStatistics]:
    """Do as `masked_attention` and say where each head looks; the weights live no longer than this call.

    span = mean_i sum_j p_ij |x_i - x_j|; locality = mean_i sqrt(sum_j p_ij |x_j - m_i|^2) with the
    attended position m_i = sum_j p_ij x_j and x the `positions` [S, P].
    """
    weights = reference.attention_weights(q, k, scale, mask)
    distances = torch.cdist(positions, positions, compute_mode="donot_use_mm_for_euclid_dist")
    pattern = weights.mean(0)
    centred = positions - positions.mean(0)  # smaller squares, smaller cancellation
    mean_position = weights @ centred
    variance = weights @ centred.square().sum(-1) - mean_position.square().sum(-1)
    statistics = MaskedAttentionStatistics(
        span=(pattern * distances).sum(-1).mean(-1),
        locality=variance.clamp_min(0.0).sqrt().mean((0, 2)),
        pattern=pattern,
    )
    return weights @ v, statistics
