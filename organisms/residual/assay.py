"""The assay: what a component is worth, and what it does, in organisms that are not its own.

Reference hosts are frozen, so the assay of a genome never ages and elites compare across organisms and rounds.
Components add to a residual stream; so a host's stream is cached once, and an assay costs the component and the
layers after it, not a forward pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from organisms.layers.norms import rms_norm
from organisms.nn import stem
from organisms.residual.organism import ResidualOrganism
from organisms.residual.writes import Writes
from organisms.species import Assay

SMALLEST = 1e-12  # gradient in nats that is still told from none


@dataclass(frozen=True, eq=False)
class Host:
    """A frozen organism and its residual stream on some examples."""

    organism: ResidualOrganism
    targets: Tensor
    reads: tuple[Tensor, ...]  # per layer: the normed stream that its components read, [P, S, D]
    streams: tuple[Tensor, ...]  # per layer: the stream after it, [P, S, D]
    residents: tuple[Any, ...]  # per layer: what its own components put beside a graft
    losses: Tensor  # [P]

    @classmethod
    @torch.no_grad()
    def freeze(cls, organism: ResidualOrganism, inputs: Tensor, targets: Tensor) -> "Host":
        """Run the organism once on some examples and cache the activations that grafts need.

        Parameters
        ----------
        organism
            Has its last weights: it must not change any more.
        inputs, targets
            P examples.
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

    @cached_property
    def slopes(self) -> tuple[Tensor, ...]:
        """Per layer: the gradient of each example's loss with respect to the stream after it, [P, S, D]."""
        slopes: list[Tensor] = []
        for layer, stream in enumerate(self.streams):
            x = stream.detach().requires_grad_(True)
            with torch.enable_grad():
                losses = self.organism.tail(layer + 1, x, self.targets)
                slopes += torch.autograd.grad(losses.sum(), x)
        return tuple(slopes)


@torch.no_grad()
def assay(organism: ResidualOrganism, hosts: Sequence[Host], losses: bool = True) -> Assay:
    """Graft each living slot alone into each host, and measure what it does there.

    The size of a gradient is that of ``<dloss/dx, y>``, where the graft changes the stream x after its layer by y: the
    drop of the loss to first order, and the gradient of the guest's gate at 0 where gates multiply what is written.

    Parameters
    ----------
    organism
        Has the slots to graft in its pool.
    hosts
        Of the same examples and interface.
    losses
        Whether the drops of the loss are wanted, or the measures alone.
    """
    layers = [_layer(organism, layer, hosts, losses) for layer in range(organism.pool.depth)]
    return Assay(
        torch.cat([each.drops for each in layers]),
        torch.cat([each.measures for each in layers]),
        torch.cat([each.gradients for each in layers]),
    )


def guest_losses(organism: ResidualOrganism, host: Host) -> Tensor:
    """Return a host's loss of each of its examples with each living slot alone grafted, [n, P]."""
    found = []
    for layer in range(organism.pool.depth):
        guests = organism.guests(layer, host.reads[layer], organism.pool.living(layer))
        found.append(
            _losses(host, layer, host.organism.grafted(host.residents[layer], guests, host.streams[layer]))
        )
    return torch.cat(found)


def typical(slopes: Tensor) -> Tensor:
    """Return the size of gradients [n, P] over examples, [n]: the power mean of exponent 1/2, (mean sqrt |slope|)^2.

    Differs from the root mean square, which few examples dominate once a network has learnt the others: its values on
    the two halves of the probe split then hardly agree.
    """
    return slopes.abs().sqrt().mean(1).square()


def _layer(organism: ResidualOrganism, layer: int, hosts: Sequence[Host], losses: bool) -> Assay:
    """Assay the living slots of a layer. Before the first layer all hosts are the same, and so are their guests."""
    slots = organism.pool.living(layer)
    guests = organism.guests(layer, hosts[0].reads[layer], slots, statistics=True)
    drops, measures, gradients = [], [], []
    for place, host in enumerate(hosts):
        if layer > 0 and place > 0:
            guests = organism.guests(layer, host.reads[layer], slots, statistics=True)
        residents, stream = host.residents[layer], host.streams[layer]
        changes = host.organism.grafted(residents, guests, stream)
        if not isinstance(changes, Writes):
            changes = list(changes)
        if losses:
            drops.append(host.losses.double() - _losses(host, layer, changes).double())
        gradients.append(typical(_along(changes, host.slopes[layer]).double()))
        seen = host.organism.described(residents, guests)
        furthest = max(organism.task.distances.max(), 1e-12)
        flow = gradients[-1].clamp_min(SMALLEST).log10()
        measures.append(
            torch.stack([seen.span / furthest, seen.sparsity, flow, seen.locality, seen.intensity], dim=-1)
        )
    empty = torch.zeros(len(slots), 0, dtype=torch.float64, device=hosts[0].losses.device)
    return Assay(
        torch.stack(drops).mean(0) if losses else empty,
        torch.stack(measures).mean(0),
        torch.stack(gradients).mean(0),
    )


def _losses(host: Host, layer: int, changes: Any) -> Tensor:
    return host.organism.changed_losses(layer + 1, host.streams[layer], changes, host.targets)


def _along(changes: Writes | list[Tensor], slope_PSD: Tensor) -> Tensor:
    """Return the inner product of each change with the slope of each example's loss, [n, P]."""
    if isinstance(changes, Writes):
        return changes.along(slope_PSD).T
    if not changes:
        return slope_PSD.new_zeros(0, len(slope_PSD))
    return torch.stack([(slope_PSD * y_PSD).sum((-2, -1)) for y_PSD in changes])
