"""What expert organisms compute, by definition: float64, one example, one token, one expert at a time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.experts.organism import ExpertOrganism
from organisms.task import Task
from tests import naive_interface as ends
from tests.naive_interface import norm
from tests.organisms.experts.mixtures import BENDS

ACTIVATIONS = ("gelu", "relu", "silu")  # what the gene counts


@dataclass
class Expert:
    """One living expert with factors of their own sizes."""

    layer: int
    genes: dict[str, float]
    arrays: dict[str, Tensor]  # float64


@dataclass
class Passed:
    """One example on its way through an organism."""

    entering: list[Tensor]  # the stream that the experts of each layer read and add to, [S, D]
    shares: list[list[dict[int, Tensor]]]  # of each layer and token: the weights of the slots that it chose
    leaving: Tensor  # the stream after the last layer, [S, D]


def experts(organism: ExpertOrganism) -> dict[int, Expert]:
    """The living experts by slot."""
    genomes = {slot: organism.pool.genome(slot) for slot, _ in organism.pool.alive()}
    return {
        slot: Expert(
            genome.depth,
            dict(genome.genes),
            {name: torch.tensor(array, dtype=torch.float64) for name, array in genome.arrays.items()},
        )
        for slot, genome in genomes.items()
    }


def hidden(expert: Expert, token: Tensor) -> Tensor:
    """The hidden numbers of one expert for one normed token [D]."""
    bend = BENDS[ACTIVATIONS[int(expert.genes["activation"])]]
    return bend(token @ expert.arrays["up.U"] @ expert.arrays["up.V"])


def answer(expert: Expert, token: Tensor) -> Tensor:
    """What one expert says to one normed token, [D], before any weight."""
    return hidden(expert, token) @ expert.arrays["down.U"] @ expert.arrays["down.V"]


def chosen(
    experts: Mapping[int, Expert], token: Tensor, k: int, gates: Mapping[int, float] | None = None
) -> dict[int, Tensor]:
    """The slots whose experts a normed token likes best, at most k, and their weights; a gate multiplies odds.

    They sum to 1; a single one has its share among all.
    """
    gate = {slot: 1.0 if gates is None else gates[slot] for slot in experts}
    odds = {
        slot: gate[slot] * torch.exp(token @ experts[slot].arrays["route"]) for slot in experts if gate[slot]
    }
    best = sorted(odds, key=lambda slot: (-odds[slot].item(), slot))[:k]
    total = sum(odds[slot] for slot in (best if len(best) > 1 else odds))
    return {slot: odds[slot] / total for slot in best}


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


def passed(
    task: Task,
    interface: Mapping[str, Tensor],
    experts: Mapping[int, Expert],
    example: Tensor,
    depth: int,
    gates: Sequence[float] | None = None,
    k: int = 2,
) -> Passed:
    """Send one example through."""
    x = ends.stem(task, interface, example)
    entering, shares = [], []
    for layer in range(depth):
        x = mixed(task, interface, layer, x)
        entering.append(x)
        own = {slot: expert for slot, expert in experts.items() if expert.layer == layer}
        open_to = None if gates is None else {slot: gates[slot] for slot in own}
        shares.append([chosen(own, token, k, open_to) for token in norm(x)])
        added = []
        for token, weights in zip(norm(x), shares[-1], strict=True):
            said = [weight * answer(own[slot], token) for slot, weight in weights.items()]
            added.append(sum(said, torch.zeros_like(token)))
        x = x + torch.stack(added)
    return Passed(entering, shares, x)


def outputs(task, interface, experts, inputs, depth=1, gates=None, k=2) -> Tensor:
    """Outputs of a batch: [B, outputs], or [B, S, outputs] for a token or sequence task."""
    last = [passed(task, interface, experts, example, depth, gates, k).leaving for example in inputs]
    return torch.stack([ends.readout(task, interface, x) for x in last])


def losses(task, interface, experts, inputs, targets, depth=1, gates=None, k=2) -> Tensor:
    """Loss of each example [B]: nats, or mean squares for a value or sequence task."""
    return ends.losses(task, outputs(task, interface, experts, inputs, depth, gates, k), targets)


def balance(
    experts: Mapping[int, Expert], sent: Sequence[Passed], layer: int, gates: Sequence[float] | None = None
) -> Tensor:
    """n sum_e f_e P_e over the n open experts of a layer: shares of all choices, and mean probabilities."""
    open_to = {slot: 1.0 if gates is None else gates[slot] for slot in experts}
    own = {slot: expert for slot, expert in experts.items() if expert.layer == layer and open_to[slot]}
    tokens = [token for one in sent for token in norm(one.entering[layer])]
    choices = [slot for one in sent for token in one.shares[layer] for slot in token]
    total = torch.zeros((), dtype=torch.float64)
    for slot in own:
        share = choices.count(slot) / len(choices)
        probabilities = [chosen(own, token, len(own), open_to)[slot] for token in tokens]
        total = total + len(own) * share * torch.stack(probabilities).mean()
    return total


def training_losses(
    task, interface, experts, inputs, targets, depth=1, gates=None, k=2, weight=0.01
) -> Tensor:
    """Loss of each example [B] and `weight` times the layers' mean balance, which is of the whole batch."""
    sent = [passed(task, interface, experts, example, depth, gates, k) for example in inputs]
    found = torch.stack([ends.readout(task, interface, one.leaving) for one in sent])
    uneven = sum(balance(experts, sent, layer, gates) for layer in range(depth)) / depth
    return ends.losses(task, found, targets) + weight * uneven
