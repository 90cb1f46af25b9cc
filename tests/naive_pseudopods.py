"""What pseudopod organisms compute, by definition: float64, one example, one head, one query at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.pseudopods.organism import PseudopodOrganism
from organisms.task import Task
from qd.records import Genome
from tests import naive_interface as ends
from tests.naive_interface import norm


@dataclass
class Head:
    """One living head with factors of their own sizes."""

    layer: int
    genes: dict[str, float]
    arrays: dict[str, Tensor]  # float64


def head(genome: Genome) -> Head:
    arrays = {name: torch.tensor(array, dtype=torch.float64) for name, array in genome.arrays.items()}
    return Head(genome.depth, dict(genome.genes), arrays)


def heads(organism: PseudopodOrganism) -> dict[int, Head]:
    """The living heads by slot."""
    return {slot: head(organism.pool.genome(slot)) for slot, _ in organism.pool.alive()}


def weights(task: Task, head: Head, h: Tensor) -> Tensor:
    """Attention weights [S, S] of one head on one normed stream [S, D]."""
    queries, keys = h @ head.arrays["qk.U"], h @ head.arrays["qk.V"].T
    rows = []
    for i in range(task.length):
        seen = [
            j
            for j in range(task.length)
            if task.distances[i, j] < head.genes["window"] and (j <= i or not task.causal)
        ]
        scores = torch.stack([queries[i] @ keys[j] for j in seen])
        shares = torch.softmax(scores * head.genes["temperature"] / head.genes["rank"] ** 0.5, dim=0)
        rows.append(torch.zeros(task.length, dtype=h.dtype).index_add(0, torch.tensor(seen), shares))
    return torch.stack(rows)


def written(task: Task, head: Head, h: Tensor) -> Tensor:
    """What one head adds to one stream [S, D]."""
    return weights(task, head, h) @ (h @ head.arrays["ov.U"]) @ head.arrays["ov.V"]


def streams(
    task: Task,
    interface: Mapping[str, Tensor],
    heads: Mapping[int, Head],
    example: Tensor,
    depth: int,
    gates: Sequence[float] | None = None,
) -> list[Tensor]:
    """The residual stream [S, D] of one example before every layer and after the last."""
    found = [ends.stem(task, interface, example)]
    for layer in range(depth):
        x = found[-1]
        of_layer = {slot: head for slot, head in heads.items() if head.layer == layer}
        for slot, head in of_layer.items():
            x = x + (1.0 if gates is None else gates[slot]) * written(task, head, norm(found[-1]))
        found.append(x)
    return found


def outputs(task, interface, heads, inputs, depth=1, gates=None) -> Tensor:
    """Outputs of a batch: [B, outputs], or [B, S, outputs] for a token or sequence task."""
    last = [streams(task, interface, heads, example, depth, gates)[-1] for example in inputs]
    return torch.stack([ends.readout(task, interface, x) for x in last])


def losses(task, interface, heads, inputs, targets, depth=1, gates=None) -> Tensor:
    """Loss of each example [B]: nats, or mean squares for a value or sequence task."""
    return ends.losses(task, outputs(task, interface, heads, inputs, depth, gates), targets)
