"""What expert organisms compute, by definition: float64, one example, one token, one expert at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.experts.species.organism import ExpertOrganism
from tests.fixtures import naive_interface as ends
from tests.fixtures.naive_interface import Part, norm
from tests.organisms.layers.definitions import PLAIN

ACTIVATIONS = ("gelu", "relu", "silu")  # what the gene counts


@dataclass
class Passed:
    """One example on its way through an organism."""

    entering: list[Tensor]  # the stream that the experts of each layer read and add to, [S, D]
    shares: list[list[dict[int, Tensor]]]  # of each layer and token: the weights of the slots that it chose
    after: list[Tensor]  # the stream after each layer, [S, D]

    @property
    def leaving(self) -> Tensor:
        return self.after[-1]


def hidden(expert: Part, token: Tensor) -> Tensor:
    """The hidden numbers of one expert for one normed token [D]."""
    bend = PLAIN[ACTIVATIONS[int(expert.genes["activation"])]]
    return bend(token @ expert.arrays["up.U"] @ expert.arrays["up.V"])


def answer(expert: Part, token: Tensor) -> Tensor:
    """What one expert says to one normed token, [D], before any weight."""
    return hidden(expert, token) @ expert.arrays["down.U"] @ expert.arrays["down.V"]


def chosen(
    experts: Mapping[int, Part], token: Tensor, k: int, gates: Mapping[int, float] | None = None
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


def passed(
    organism: ExpertOrganism,
    experts: Mapping[int, Part],
    example: Tensor,
    gates: Sequence[float] | Tensor | None = None,
) -> Passed:
    """Send one example through."""
    x = ends.stem(organism.task, organism.interface, example)
    entering, shares, after = [], [], []
    for layer in range(organism.pool.depth):
        x = ends.mixed(organism.task, organism.interface, layer, x)
        entering.append(x)
        own = {slot: expert for slot, expert in experts.items() if expert.layer == layer}
        open_to = None if gates is None else {slot: gates[slot] for slot in own}
        shares.append([chosen(own, token, organism.k, open_to) for token in norm(x)])
        added = []
        for token, weights in zip(norm(x), shares[-1], strict=True):
            said = [weight * answer(own[slot], token) for slot, weight in weights.items()]
            added.append(sum(said, torch.zeros_like(token)))
        x = x + torch.stack(added)
        after.append(x)
    return Passed(entering, shares, after)


passing = passed


def wrote(organism: ExpertOrganism, experts: Mapping[int, Part], slot: int, example: Tensor) -> Tensor:
    """What one expert of an organism adds to the stream [S, D] of one example."""
    one, layer = passed(organism, experts, example), experts[slot].layer
    rows = [
        weights[slot] * answer(experts[slot], token) if slot in weights else torch.zeros_like(token)
        for token, weights in zip(norm(one.entering[layer]), one.shares[layer], strict=True)
    ]
    return torch.stack(rows)


def outputs(organism, experts, inputs, gates=None) -> Tensor:
    """Outputs of a batch: [B, outputs], or [B, S, outputs] for a token or sequence task."""
    last = [passed(organism, experts, example, gates).leaving for example in inputs]
    return torch.stack([ends.readout(organism.task, organism.interface, x) for x in last])


def balance(
    experts: Mapping[int, Part], sent: Sequence[Passed], layer: int, gates: Sequence[float] | None = None
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


def training_losses(organism, experts, inputs, targets, gates=None) -> Tensor:
    """Loss of each example [B], and the layers' mean balance, which is of the whole batch, times its weight."""
    sent = [passed(organism, experts, example, gates) for example in inputs]
    found = torch.stack([ends.readout(organism.task, organism.interface, one.leaving) for one in sent])
    depth = organism.pool.depth
    uneven = sum(balance(experts, sent, layer, gates) for layer in range(depth)) / depth
    return ends.losses(organism.task, found, targets) + organism.balance * uneven
