"""What pseudopod organisms compute, by definition: float64, one example, one head, one query at a time."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from organisms.pseudopods.organism import PseudopodOrganism
from organisms.task import Task
from tests import naive_interface as ends
from tests.naive_interface import Part, norm


def weights(task: Task, head: Part, h: Tensor) -> Tensor:
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


def written(task: Task, head: Part, h: Tensor) -> Tensor:
    """What one head adds to one stream [S, D]."""
    return weights(task, head, h) @ (h @ head.arrays["ov.U"]) @ head.arrays["ov.V"]


def streams(
    organism: PseudopodOrganism,
    heads: Mapping[int, Part],
    example: Tensor,
    gates: Sequence[float] | Tensor | None = None,
) -> list[Tensor]:
    """The residual stream [S, D] of one example before every layer and after the last."""
    found = [ends.stem(organism.task, organism.interface, example)]
    for layer in range(organism.pool.depth):
        x = found[-1]
        for slot, head in heads.items():
            if head.layer == layer:
                y = written(organism.task, head, norm(found[-1]))
                x = x + (1.0 if gates is None else gates[slot]) * y
        found.append(x)
    return found


def outputs(organism, heads, inputs, gates=None) -> Tensor:
    """Outputs of a batch: [B, outputs], or [B, S, outputs] for a token or sequence task."""
    last = [streams(organism, heads, example, gates)[-1] for example in inputs]
    return torch.stack([ends.readout(organism.task, organism.interface, x) for x in last])


def training_losses(organism, heads, inputs, targets, gates=None) -> Tensor:
    """Loss of each example [B]: that of the task."""
    return ends.losses(organism.task, outputs(organism, heads, inputs, gates), targets)
