"""What organisms of flow patterns compute, by definition: float64, one example, one pattern, one token at a time."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from organisms.flow.species.organism import FlowOrganism
from organisms.task import Task
from tests.fixtures import naive_interface as ends
from tests.fixtures.naive_interface import Part, norm
from tests.organisms.experts.naive_experts import Passed, chosen


def sends(pattern: Part, h: Tensor, task: Task, receiver: int) -> list[dict[int, Tensor]]:
    """Of each channel of a pattern: from which tokens one token receives, and how much of each."""
    a, genes = pattern.arrays, pattern.genes
    z, flows = h[receiver] @ a["look"], []
    for c in range(int(genes["channels"])):
        scores = {}
        for s in range(len(h)):
            distance = math.dist(task.positions[receiver], task.positions[s])
            if distance < genes["window"] and not (task.causal and s > receiver):
                decay = torch.log(1 + torch.exp(a["decay"][c]))
                scores[s] = z @ a["match"][c] @ (h[s] @ a["offer"]) - decay * math.log(1 + distance)
        best = sorted(scores, key=lambda s: -scores[s].item())[: int(genes["positions"])]
        total = sum(torch.exp(scores[s]) for s in best)
        intensity = 2 / (1 + torch.exp(-(z @ a["intensity"][c] + a["level"][c])))
        flows.append({s: intensity * torch.exp(scores[s]) / total for s in best})
    return flows


def given(pattern: Part, h: Tensor, task: Task, receiver: int) -> Tensor:
    """The numbers [R] that a pattern gives to one token."""
    a = pattern.arrays
    received = [
        sum(share * (h[s] @ a["offer"]) for s, share in flow.items()) @ a["value"][c]
        for c, flow in enumerate(sends(pattern, h, task, receiver))
    ]
    return sum(received[1:], received[0])


def passed(
    organism: FlowOrganism,
    patterns: Mapping[int, Part],
    example: Tensor,
    gates: Sequence[float] | Tensor | None = None,
) -> Passed:
    """Send one example through."""
    x = ends.stem(organism.task, organism.interface, example)
    entering, shares, after = [], [], []
    for layer in range(organism.pool.depth):
        entering.append(x)
        h = norm(x)
        own = {slot: pattern for slot, pattern in patterns.items() if pattern.layer == layer}
        open_to = None if gates is None else {slot: gates[slot] for slot in own}
        shares.append([chosen(own, token, organism.k, open_to) for token in h])
        added = []
        for receiver, weights in enumerate(shares[-1]):
            said = [
                weight * (given(own[slot], h, organism.task, receiver) @ own[slot].arrays["write"])
                for slot, weight in weights.items()
            ]
            added.append(sum(said, torch.zeros_like(h[0])))
        x = x + torch.stack(added)
        after.append(x)
    return Passed(entering, shares, after)


passing = passed


def wrote(organism: FlowOrganism, patterns: Mapping[int, Part], slot: int, example: Tensor) -> Tensor:
    """What one pattern of an organism adds to the stream [S, D] of one example."""
    one, pattern = passed(organism, patterns, example), patterns[slot]
    h = norm(one.entering[pattern.layer])
    rows = [
        weights[slot] * (given(pattern, h, organism.task, receiver) @ pattern.arrays["write"])
        if slot in weights
        else torch.zeros_like(h[0])
        for receiver, weights in enumerate(one.shares[pattern.layer])
    ]
    return torch.stack(rows)


def outputs(organism, patterns, inputs, gates=None) -> Tensor:
    """Outputs of a batch: [B, outputs], or [B, S, outputs] for a token or sequence task."""
    last = [passed(organism, patterns, example, gates).leaving for example in inputs]
    return torch.stack([ends.readout(organism.task, organism.interface, x) for x in last])


def training_losses(organism, patterns, inputs, targets, gates=None) -> Tensor:
    """Loss of each example, [B]."""
    return ends.losses(organism.task, outputs(organism, patterns, inputs, gates), targets)
