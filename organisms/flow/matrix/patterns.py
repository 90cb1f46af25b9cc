"""The first level of sparsity: each token mixes a few patterns.

Shape suffixes: N tokens, P patterns, K patterns of a token, Z numbers of a pattern.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from kernels.exporting import exporting


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """The patterns of each token and their weights, which sum to 1."""

    patterns: Tensor  # int64 [N, K]
    weights: Tensor  # [N, K]


def mixture(logits: Float[Tensor, "N P"], top_k: int) -> Mixture:
    """Return the K patterns of the largest logits, weighted by their softmax: the odds of the chosen stay."""
    best = logits.topk(top_k)
    return Mixture(best.indices, best.values.softmax(-1))


def mixed(chosen: Mixture, patterns: Float[Tensor, "P Z"]) -> Float[Tensor, "N Z"]:
    """Return sum_k w_nk patterns[p_nk] for every token, in N K Z products, however many patterns there are."""
    if exporting():
        return (chosen.weights.unsqueeze(-1) * F.embedding(chosen.patterns, patterns)).sum(1)
    return F.embedding_bag(chosen.patterns, patterns, per_sample_weights=chosen.weights, mode="sum")


@torch.no_grad()
def pattern_metrics(chosen: Mixture, num_patterns: int) -> dict[str, Tensor]:
    """Return each pattern's share of all weight, ``pattern_utilization`` [P], and ``pattern_entropy``, nats."""
    shares = chosen.weights.new_zeros(num_patterns)
    shares = shares.scatter_add(0, chosen.patterns.flatten(), chosen.weights.flatten())
    entropy = torch.special.entr(chosen.weights).sum(-1).mean()
    return {"pattern_utilization": shares / chosen.weights.shape[0], "pattern_entropy": entropy}
