"""The assay: what an expert is worth in organisms that are not its own, through their routers.

A grafted expert competes: its column joins those of a host's layer, the tokens that prefer it leave others, and the
weights of each token's k best are made anew. What does not change is cached once for each host: what its own
experts make of every token, and their logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.experts.choice import best
from organisms.experts.organism import ExpertOrganism, mixture
from organisms.nn import rms_norm, stem
from organisms.writes import Writes


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer of a host, on the P examples of the probe split."""

    entering: Tensor  # the stream that its experts read and add to, [P, S, D]
    read: Tensor  # the same, normed
    logits: Tensor  # of its n living experts, [P, S, n]
    hidden: Tensor  # what each of them makes of every token, [P, n, S, H]
    down: Tensor  # [n, H, D]


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
            h, living = rms_norm(x), organism.pool.living(layer)
            logits, hidden = organism.logits(layer, h)[..., living], organism.hidden(layer, h)[:, living]
            layers.append(Layer(x, h, logits, hidden, organism.matrices(layer)[1][living]))
            x = x + organism.mixed(layer, h)
        losses = organism.tail(organism.pool.depth, x, targets)
        return cls(organism, targets, tuple(layers), losses)


@torch.no_grad()
def assay(organism: ExpertOrganism, hosts: Sequence[Host]) -> Tensor:
    """Mean drop of the hosts' losses when each living expert alone is grafted into them, float64 [n, P].

    Before the first layer all hosts are the same; what the experts of that layer make of the tokens is computed once.
    """
    drops = []
    for layer in range(organism.pool.depth):
        slots, down_CHD = organism.pool.living(layer), organism.matrices(layer)[1]
        shared = _read(organism, layer, hosts[0].layers[0].read) if layer == 0 else None
        by_host = []
        for host in hosts:
            logits, hidden = shared or _read(organism, layer, host.layers[layer].read)
            losses = [
                _grafted(host, layer, logits[..., slot], hidden[:, slot], down_CHD[slot]) for slot in slots
            ]
            after = torch.stack(losses) if losses else host.losses.new_zeros(0, len(host.losses))
            by_host.append(host.losses.double() - after.double())
        drops.append(torch.stack(by_host).mean(0))
    return torch.cat(drops)


def _read(organism: ExpertOrganism, layer: int, h_PSD: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [P, S, C] and hidden numbers [P, C, S, H] of the guests."""
    return organism.logits(layer, h_PSD), organism.hidden(layer, h_PSD)


def _grafted(host: Host, layer: int, logits_PS: Tensor, hidden_PSH: Tensor, down_HD: Tensor) -> Tensor:
    """Losses of a host [P] with one expert more."""
    own = host.layers[layer]
    logits_PSn = torch.cat([own.logits, logits_PS.unsqueeze(-1)], -1)
    hidden_PnSH = torch.cat([own.hidden, hidden_PSH.unsqueeze(1)], 1)
    shares_PSn = _shares(logits_PSn, min(host.organism.k, logits_PSn.shape[-1]))
    values = hidden_PnSH * shares_PSn.transpose(1, 2).unsqueeze(-1)
    x_PSD = own.entering + Writes(values, torch.cat([own.down, down_HD.unsqueeze(0)])).total()
    return host.organism.tail(layer + 1, x_PSD, host.targets)


def _shares(logits_PSn: Tensor, k: int) -> Tensor:
    """Weights of the k experts of each token's largest logits, 0 elsewhere."""
    logits_Tn = logits_PSn.flatten(0, 1)
    chosen_Tk = best(logits_Tn, k).experts
    return (
        torch.zeros_like(logits_Tn).scatter(1, chosen_Tk, mixture(logits_Tn, chosen_Tk)).view_as(logits_PSn)
    )
