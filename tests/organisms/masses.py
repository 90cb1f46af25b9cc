"""Measures of a component by how much it adds to every token, by the words of their definitions."""

import math
from collections.abc import Sequence

import numpy as np

from organisms.task import Task

Masses = Sequence[Sequence[float]]  # norms of what a component adds to every token, [P][S]


def mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def by_mass(own: Masses, others: Sequence[Masses], task: Task) -> dict[str, float]:
    """Span and locality over the examples with any mass, and the mean cosine with the masses of others."""
    spans, localities = [], []
    pairs = [(s, t) for s in range(task.length) for t in range(task.length) if s != t]
    for mass in own:
        if sum(mass) == 0:
            continue
        m = [each / sum(mass) for each in mass]
        both = sum(m[s] * m[t] for s, t in pairs)
        apart = sum(m[s] * m[t] * math.dist(task.positions[s], task.positions[t]) for s, t in pairs)
        spans.append(apart / both if both else 0.0)
        localities.append(-sum(each * math.log(each) for each in m if each))
    a, cosines = np.ravel(own), []
    for b in map(np.ravel, others):
        size = np.linalg.norm(a) * np.linalg.norm(b)
        cosines.append(float(a @ b / size) if size else 0.0)
    return {
        "attention_span": mean(spans) / task.distances.max(),
        "access_locality": mean(localities) / math.log(task.length),
        "neighbour_coherence": mean(cosines),
    }
