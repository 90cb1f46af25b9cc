"""What tower organisms compute, by definition: float64, one example, one tower, one query at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.towers.species.organism import TowerOrganism
from tests.fixtures import naive_interface as ends
from tests.fixtures.naive_interface import Part
from tests.organisms.layers.definitions import PLAIN

ACTIVATIONS = ("gelu", "relu", "silu")  # what the gene counts


@dataclass
class Passed:
    """One example on its way through an organism."""

    entering: list[Tensor]  # the stream that the towers of each layer read and add to, [S, D]
    weights: list[dict[int, Tensor]]  # of each layer: how much each slot counts for every token, [S]
    after: list[Tensor]  # the stream after each layer, [S, D]

    @property
    def leaving(self) -> Tensor:
        return self.after[-1]


def stream(tower: Part, h: Tensor, causal: bool, told: Tensor | float = 0.0) -> tuple[Tensor, list[Tensor]]:
    """The normed stream [S, w] of one tower that reads h [S, D], and the hidden units of its stages."""
    a = tower.arrays

    def norm(u: Tensor) -> Tensor:
        return u / torch.sqrt((u**2).sum(-1, keepdim=True) / 16 + 1e-6)

    u, hidden = (h + told) @ a["read"], []
    if tower.genes.get("attention"):
        q, k, v = (norm(u) @ a[name][0] for name in "qkv")
        found = []
        for i in range(len(u)):
            seen = list(range(i + 1 if causal else len(u)))
            found.append(torch.softmax(k[seen] @ q[i] / 4, 0) @ v[seen])
        u = u + torch.stack(found) @ a["o"][0]
    bend = PLAIN[ACTIVATIONS[int(tower.genes["activation"])]]
    for up, down in zip(a["up"], a["down"], strict=True):
        hidden.append(bend(norm(u) @ up))
        u = u + hidden[-1] @ down
    return norm(u), hidden


def messages(
    organism: TowerOrganism, towers: Mapping[int, Part], h: Tensor, gates: Mapping[int, float | Tensor]
) -> dict[int, Tensor | float]:
    """What each tower hears of its nearest neighbours, times how well it listens, [S, D]."""
    told: dict[int, Tensor | float] = dict.fromkeys(towers, 0.0)
    if not organism.messages:
        return told
    alone = {
        slot: stream(tower, h, organism.task.causal)[0] @ tower.arrays["write"]
        for slot, tower in towers.items()
    }
    for slot, tower in towers.items():
        here = tower.arrays["address"]
        odds = {}
        for other in towers:
            there = towers[other].arrays["address"]
            if other != slot:
                odds[other] = gates[other] * torch.exp(here @ there / (here.norm() * there.norm()))
        nearest = sorted(odds, key=lambda other: (-odds[other].item(), other))[: organism.messages]
        total = sum(odds[other] for other in nearest)
        for other in nearest:
            told[slot] = told[slot] + tower.arrays["listen"] * odds[other] / total * alone[other]
    return told


def heard(
    organism: TowerOrganism,
    towers: Mapping[int, Part],
    h: Tensor,
    gates: Sequence[float] | Tensor | None = None,
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """What each tower of one layer says [S, D], and how much it counts [S]; a gate multiplies odds or weights."""
    said, weights = {}, {}
    gate_of = {slot: 1.0 if gates is None else gates[slot] for slot in towers}
    towers = {slot: tower for slot, tower in towers.items() if gate_of[slot]}
    told = messages(organism, towers, h, gate_of)
    for slot, tower in towers.items():
        gate = gate_of[slot]
        u, _ = stream(tower, h, organism.task.causal, told[slot])
        said[slot] = u @ tower.arrays["write"]
        if organism.fusion == "sum":
            weights[slot] = gate * torch.ones(len(h), dtype=torch.float64)
        else:
            score = u @ tower.arrays["score"]
            weights[slot] = (
                gate * torch.exp(score) if organism.fusion == "adaptive" else gate / (1 + torch.exp(-score))
            )
    if organism.fusion == "adaptive":
        total = sum(weights.values())
        weights = {slot: weight / total for slot, weight in weights.items()}
    return said, weights


def passed(organism, towers: Mapping[int, Part], example: Tensor, gates=None) -> Passed:
    """Send one example through."""
    x = ends.stem(organism.task, organism.interface, example)
    entering, shares, after = [], [], []
    for layer in range(organism.pool.depth):
        x = ends.mixed(organism.task, organism.interface, layer, x)
        entering.append(x)
        own = {slot: tower for slot, tower in towers.items() if tower.layer == layer}
        said, weights = heard(organism, own, ends.norm(x), gates)
        shares.append(weights)
        x = x + sum((weights[slot].unsqueeze(1) * said[slot] for slot in said), torch.zeros_like(x))
        after.append(x)
    return Passed(entering, shares, after)


passing = passed


def wrote(organism, towers: Mapping[int, Part], slot: int, example: Tensor) -> Tensor:
    """What one tower of an organism adds to the stream [S, D] of one example."""
    one, layer = passed(organism, towers, example), towers[slot].layer
    own = {other: tower for other, tower in towers.items() if tower.layer == layer}
    said, weights = heard(organism, own, ends.norm(one.entering[layer]))
    return weights[slot].unsqueeze(1) * said[slot]


def outputs(organism, towers, inputs, gates=None) -> Tensor:
    """Outputs of a batch: [B, outputs], or [B, S, outputs] for a token or sequence task."""
    last = [passed(organism, towers, example, gates).leaving for example in inputs]
    return torch.stack([ends.readout(organism.task, organism.interface, x) for x in last])


def training_losses(organism, towers, inputs, targets, gates=None) -> Tensor:
    """Loss of each example, [B]."""
    return ends.losses(organism.task, outputs(organism, towers, inputs, gates), targets)
