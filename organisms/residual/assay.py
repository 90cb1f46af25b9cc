"""The assay: what a component is worth in organisms that are not its own.

Reference hosts are frozen, so the assay of a genome never ages and elites compare across organisms and rounds.
Components add to a residual stream; so a host's stream is cached once, and an assay costs the component and the
layers after it, not a forward pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from organisms.layers.norms import rms_norm
from organisms.nn import stem
from organisms.residual.organism import ResidualOrganism


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """A frozen organism and its residual stream on the probe split."""

    organism: ResidualOrganism
    targets: Tensor
    reads: tuple[Tensor, ...]  # per layer: the normed stream that its components read, [P, S, D]
    streams: tuple[Tensor, ...]  # per layer: the stream after it, [P, S, D]
    residents: tuple[Any, ...]  # per layer: what its own components put beside a graft
    losses: Tensor  # [P]

    @classmethod
    @torch.no_grad()
    def freeze(cls, organism: ResidualOrganism, inputs: Tensor, targets: Tensor) -> "Host":
        """Run the organism once on the probe split and cache the activations that assays need.

        Parameters
        ----------
        organism
            Has its last weights: it must not change any more.
        inputs, targets
            The P examples of the probe split.
        """
        x = stem(organism.task, organism.interface, inputs)
        reads, streams, residents = [], [], []
        for layer in range(organism.pool.depth):
            x = organism.entering(layer, x)
            reads.append(rms_norm(x))
            residents.append(organism.residents(layer, reads[-1]))
            x = x + organism.mixed(layer, reads[-1])
            streams.append(x)
        losses = organism.tail(organism.pool.depth, x, targets)
        return cls(organism, targets, tuple(reads), tuple(streams), tuple(residents), losses)


@torch.no_grad()
def assay(organism: ResidualOrganism, hosts: Sequence[Host]) -> Tensor:
    """Return the mean drop of the hosts' losses when each living slot alone is grafted into them, float64 [n, P].

    Before the first layer all hosts are the same; what guests make of its tokens is computed once.
    """
    drops = []
    for layer in range(organism.pool.depth):
        slots = organism.pool.living(layer)
        shared = organism.guests(layer, hosts[0].reads[0], slots) if layer == 0 else None
        by_host = []
        for host in hosts:
            guests = organism.guests(layer, host.reads[layer], slots) if shared is None else shared
            changes = host.organism.grafted(host.residents[layer], guests, host.streams[layer])
            losses = host.organism.changed_losses(layer + 1, host.streams[layer], changes, host.targets)
            by_host.append(host.losses.double() - losses.double())
        drops.append(torch.stack(by_host).mean(0))
    return torch.cat(drops)
