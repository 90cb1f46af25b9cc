"""What a component is among others, by definition: from what it and each of them write, [P, S, D] in float64."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import pearsonr
from torch import Tensor


def coherence(own: Tensor, others: Sequence[Tensor]) -> float:
    return _mean([_cosine(own.norm(dim=-1).flatten(), other.norm(dim=-1).flatten()) for other in others])


def correlation(own: Tensor, others: Sequence[Tensor]) -> float:
    pairs = [(own.flatten().numpy(), other.flatten().numpy()) for other in others]
    return _mean([pearsonr(*pair).statistic if all(each.std() for each in pair) else 0.0 for pair in pairs])


def effective_rank(own: Tensor) -> float:
    fourth = np.linalg.svd(own.flatten(0, 1).numpy(), compute_uv=False) ** 2
    return fourth.sum() ** 2 / (fourth**2).sum() if fourth.any() else 0.0


def _cosine(one: Tensor, other: Tensor) -> float:
    size = one.norm().item() * other.norm().item()
    return (one @ other).item() / size if size else 0.0


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
