"""The assay: what an expert is worth in organisms that are not its own, through their routers.

A grafted expert competes: its column joins those of a host's layer, the tokens that prefer it leave others, and the
weights of each token's k best are made anew. What does not change is cached once for each host: what its own
experts answer every token, and their logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.experts.species.organism import ExpertOrganism
from organisms.experts.species.shares import redirected, shares
from organisms.layers.norms import rms_norm
from organisms.nn import stem


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer of a host, on the T tokens of the P examples of the probe split."""

    read: Tensor  # the stream that its experts read, normed, [P, S, D]
    leaving: Tensor  # the stream after it, [P, S, D]
    logits: Tensor  # of its n living experts, [T, n]
    shares: Tensor  # of each of them in the answer to each token, [T, n]
    answers: Tensor  # of each of them to every token, [n, T, D]


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """A frozen organism on the probe split."""

    organism: ExpertOrganism
    targets: Tensor
    layers: tuple[Layer, ...]
    losses: Tensor  # [P]

    @classmethod
    @torch.no_grad()
    def freeze(cls, organism: ExpertOrganism, inputs: Tensor, targets: Tensor) -> "Host":
        """Run the organism once on the probe split and keep what assays need."""
        x = stem(organism.task, organism.interface, inputs)
        layers = []
        for layer in range(organism.pool.depth):
            x = organism.entering(layer, x)
            h = rms_norm(x)
            logits, answers = organism.said(layer, h, organism.pool.living(layer))
            x = x + organism.mixed(layer, h)
            layers.append(Layer(h, x, logits, shares(logits, organism.k), answers))
        losses = organism.tail(organism.pool.depth, x, targets)
        return cls(organism, targets, tuple(layers), losses)


@torch.no_grad()
def assay(organism: ExpertOrganism, hosts: Sequence[Host]) -> Tensor:
    """Mean drop of the hosts' losses when each living expert alone is grafted into them, float64 [n, P].

    An expert that no token of a host chooses changes nothing there, exactly. Before the first layer all hosts are
    the same; what the experts of that layer make of the tokens is computed once.
    """
    drops = []
    for layer in range(organism.pool.depth):
        slots = organism.pool.living(layer)
        shared = organism.said(layer, hosts[0].layers[0].read, slots) if layer == 0 else None
        by_host = []
        for host in hosts:
            logits, answers = shared or organism.said(layer, host.layers[layer].read, slots)
            own, k = host.layers[layer], host.organism.k
            changes = (_change(own, k, *guest) for guest in zip(logits.unbind(1), answers, strict=True))
            losses = host.organism.changed_losses(layer + 1, own.leaving, changes, host.targets)
            by_host.append(host.losses.double() - losses.double())
        drops.append(torch.stack(by_host).mean(0))
    return torch.cat(drops)


def _change(own: Layer, k: int, logits_T: Tensor, answers_TD: Tensor) -> Tensor:
    """What one expert more adds to the stream after a host's layer, [P, S, D]."""
    all_Tn = shares(torch.cat([own.logits, logits_T.unsqueeze(1)], 1), k)
    own_Tn, guest_T1 = all_Tn[:, :-1], all_Tn[:, -1:]
    change_TD = redirected(own.shares, own_Tn, own.answers) + guest_T1 * answers_TD
    return change_TD.view_as(own.leaving)
