"""What all definitions share, in float64: the parts of an organism, and what it computes at its two ends."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.species import Organism
from organisms.task import Task


@dataclass
class Part:
    """One living component with arrays of their own sizes."""

    layer: int
    genes: dict[str, float]
    arrays: dict[str, Tensor]  # float64


def parts(organism: Organism) -> dict[int, Part]:
    """The living components by slot."""
    genomes = {slot: organism.pool.genome(slot) for slot, _ in organism.pool.alive()}
    return {
        slot: Part(
            genome.depth,
            dict(genome.genes),
            {name: torch.tensor(array, dtype=torch.float64) for name, array in genome.arrays.items()},
        )
        for slot, genome in genomes.items()
    }


def norm(x: Tensor) -> Tensor:
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6)


def stem(task: Task, interface: Mapping[str, Tensor], example: Tensor) -> Tensor:
    """The residual stream [S, D] of one example before the first layer."""
    embed = interface["embed"].double()
    tokens = embed[example] if task.tokens == "discrete" else example.double() @ embed
    return tokens + interface["position"].double()


def mixed(task: Task, interface: Mapping[str, Tensor], layer: int, x: Tensor) -> Tensor:
    """A stream [S, D] and what its tokens find in one another, one head and one query at a time."""
    if "mixer.q" not in interface:
        return x
    q, k, v = (norm(x) @ interface[f"mixer.{name}"][layer].double() for name in "qkv")
    tokens, width = x.shape
    heads = max(n for n in range(1, width + 1) if width % n == 0 and (n == 1 or width // n >= 16))
    found = torch.zeros_like(x)
    for columns in torch.arange(width).chunk(heads):
        for i in range(tokens):
            seen = range(i + 1) if task.causal else range(tokens)
            scores = torch.stack([q[i, columns] @ k[j, columns] for j in seen]) / math.sqrt(width // heads)
            found[i, columns] = torch.softmax(scores, 0) @ v[list(seen)][:, columns]
    return x + found @ interface["mixer.o"][layer].double()


def readout(task: Task, interface: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Outputs of one example from its stream [S, D] after the last layer."""
    last = norm(x)
    pooled = last if task.kind in ("token", "sequence") else last.mean(0)
    return pooled @ interface["read"].double() + interface["bias"].double()


def losses(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """Loss of each example [B]: nats, or mean squares for a value or sequence task."""
    if task.kind in ("value", "sequence"):
        return ((outputs - targets.double()) ** 2).flatten(1).mean(-1)
    chosen = -torch.log(torch.softmax(outputs, -1)).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return chosen.mean(-1) if task.kind == "token" else chosen
