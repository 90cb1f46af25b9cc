"""The assay: what a pseudopod is worth in organisms that are not its own.

Reference hosts are frozen, so the assay of a genome never ages and elites compare across organisms and
rounds. Pseudopods add to the residual stream; so a host's stream is cached once and an assay costs one
head and the layers after it, not a forward pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.layers.norms import rms_norm
from organisms.nn import stem
from organisms.pseudopods.species.organism import PseudopodOrganism


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """A frozen organism and its residual stream on the probe split."""

    organism: PseudopodOrganism
    targets: Tensor
    reads: tuple[Tensor, ...]  # per layer: the normed stream that its heads read, [P, S, D]
    streams: tuple[Tensor, ...]  # per layer: the stream after it, [P, S, D]
    losses: Tensor  # [P]

    @classmethod
    @torch.no_grad()
    def freeze(cls, organism: PseudopodOrganism, inputs: Tensor, targets: Tensor) -> "Host":
        """Run the organism once on the probe split and keep what assays need."""
        x = stem(organism.task, organism.interface, inputs)
        reads, streams = [], []
        for layer in range(organism.pool.depth):
            x = organism.entering(layer, x)
            reads.append(rms_norm(x))
            x = x + organism.mixed(layer, reads[-1])
            streams.append(x)
        losses = organism.tail(organism.pool.depth, x, targets)
        return cls(organism, targets, tuple(reads), tuple(streams), losses)


@torch.no_grad()
def assay(organism: PseudopodOrganism, hosts: Sequence[Host]) -> Tensor:
    """Mean drop of the hosts' losses when each living slot alone is grafted into them, float64 [n, P].

    The first layer reads the shared stem, which is the same in every host; its heads run once.
    """
    drops = []
    for layer in range(organism.pool.depth):
        slots = organism.pool.living(layer)
        shared = organism.writes(0, hosts[0].reads[0], slots) if layer == 0 else None
        by_host = []
        for host in hosts:
            writes = shared or organism.writes(layer, host.reads[layer], slots)
            losses = host.organism.changed_losses(layer + 1, host.streams[layer], writes, host.targets)
            by_host.append(host.losses.double() - losses.double())
        drops.append(torch.stack(by_host).mean(0))
    return torch.cat(drops)
