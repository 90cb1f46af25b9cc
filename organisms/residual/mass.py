"""Measures of components that answer tokens one by one: from how much each adds to every token, its mass.

A token's mass is the norm of what a component adds to it, as a share of the example's.

Shape suffixes: B examples, S tokens, n components.
"""

import math

import torch
from torch import Tensor

from organisms.task import Task


def span(mass_BS: Tensor, task: Task) -> float:
    """Return the mean distance of two different tokens drawn by mass, as a share of the largest distance.

    Over the examples with any mass, ``sum_s sum_t m_s m_t d(s, t) / (1 - sum_s m_s^2)``; 0 where there is none.
    """
    share_BS = _shares(mass_BS)
    pairs_B = (1 - share_BS.square().sum(-1)).clamp_min(1e-12)
    between_SS = torch.from_numpy(task.distances).to(share_BS)
    distance_B = ((share_BS @ between_SS) * share_BS).sum(-1) / pairs_B
    return mean(distance_B) / max(float(task.distances.max()), 1e-12)


def spread(mass_BS: Tensor, task: Task) -> float:
    """Return the entropy of a token that is drawn by mass, over its largest value, in [0, 1]."""
    share_BS = _shares(mass_BS)
    return mean(-torch.xlogy(share_BS, share_BS).sum(-1)) / max(math.log(task.length), 1e-12)


def coherence(own_T: Tensor, others_nT: Tensor) -> float:
    """Return the mean, over n others, of the cosine of how much each adds to every token, in [0, 1]; 0 without any."""
    sizes_n = own_T.norm() * others_nT.norm(dim=1)
    return mean(torch.where(sizes_n > 0, others_nT @ own_T / sizes_n.clamp_min(1e-300), 0.0))


def mean(values: Tensor) -> float:
    """Return the mean, 0 of nothing."""
    return float(values.mean()) if len(values) else 0.0


def _shares(mass_BS: Tensor) -> Tensor:
    """Return the mass of each token as a share of its example's, of those examples that have any."""
    whole_B = mass_BS.sum(-1)
    return mass_BS[whole_B > 0] / whole_B[whole_B > 0].unsqueeze(-1)
