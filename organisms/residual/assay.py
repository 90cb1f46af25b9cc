"""The assay: what a component is worth, and what it does, in organisms that are not its own.

Reference hosts are frozen, so the assay of a genome never ages and elites compare across organisms and rounds.
Components add to a residual stream; so a host's stream is cached once, and an assay costs the component and the
layers after it, not a forward pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from organisms.layers.norms import rms_norm
from organisms.nn import stem
from organisms.residual.alike import OF_PAIRS, in_host
from organisms.residual.effects import (
    SMALLEST,
    beyond,
    evenness,
    is_effect,
    is_of_writes,
    of_writes,
    served,
    wants_losses,
)
from organisms.residual.organism import ResidualOrganism
from organisms.residual.worths import WORTHS, alignment, information
from organisms.residual.writes import Writes
from organisms.species import Assay


@dataclass(frozen=True, eq=False)
class Host:
    """A frozen organism and its residual stream on some examples."""

    organism: ResidualOrganism
    targets: Tensor
    reads: tuple[Tensor, ...]  # per layer: the normed stream that its components read, [P, S, D]
    streams: tuple[Tensor, ...]  # per layer: the stream after it, [P, S, D]
    residents: tuple[Any, ...]  # per layer: what its own components put beside a graft
    written: tuple[Tensor, ...]  # per layer: what they write together, [P, S, D]
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
        organism = organism.frozen()
        x = stem(organism.task, organism.interface, inputs)
        reads, streams, residents, written = [], [], [], []
        for layer in range(organism.pool.depth):
            x = organism.entering(layer, x)
            reads.append(rms_norm(x))
            residents.append(organism.residents(layer, reads[-1]))
            written.append(organism.mixed(layer, reads[-1]))
            x = x + written[-1]
            streams.append(x)
        losses = organism.tail(organism.pool.depth, x, targets)
        layers = (tuple(reads), tuple(streams), tuple(residents), tuple(written))
        return cls(organism, targets, *layers, losses)

    @cached_property
    def parts(self) -> tuple[Writes, ...]:
        """Per layer: what each of its own components writes by itself."""
        looks = [self.organism.observed(layer, read).writes for layer, read in enumerate(self.reads)]
        return tuple(each[self.organism.pool.living(layer)] for layer, each in enumerate(looks))

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
def assay(
    organism: ResidualOrganism, hosts: Sequence[Host], names: Sequence[str], losses: bool = True
) -> Assay:
    """Graft each living slot alone into each host, and measure what it does there.

    The size of a gradient is that of ``<dloss/dx, y>``, where the graft changes the stream x after its layer by y: the
    drop of the loss to first order, and the gradient of the guest's gate at 0 where gates multiply what is written.

    Parameters
    ----------
    organism
        Has the slots to graft in its pool.
    hosts
        Of the same examples and interface.
    names
        Of the measures that are wanted, and of `organisms.residual.worths`; no others are computed.
    losses
        Whether the drops of the loss are wanted, or the measures alone.
    """
    layers = [_layer(organism, layer, hosts, names, losses) for layer in range(organism.pool.depth)]
    return Assay(
        torch.cat([each.drops for each in layers]),
        {name: torch.cat([each.measures[name] for each in layers]) for name in names},
        torch.cat([each.gradients for each in layers]),
    )


def guest_losses(organism: ResidualOrganism, host: Host) -> Tensor:
    """Return a host's loss of each of its examples with each living slot alone grafted, [n, P]."""
    found = []
    for layer in range(organism.pool.depth):
        guests = organism.guests(layer, host.reads[layer], organism.pool.living(layer))
        joined = host.organism.joined(host.residents[layer], guests)
        changes = host.organism.grafted(host.residents[layer], joined, host.streams[layer])
        found.append(_losses(host, layer, changes))
    return torch.cat(found)


def typical(slopes: Tensor) -> Tensor:
    """Return the size of gradients [n, P] over examples, [n]: the power mean of exponent 1/2, (mean sqrt |slope|)^2.

    Differs from the root mean square, which few examples dominate once a network has learnt the others: its values on
    the two halves of the probe split then hardly agree.
    """
    return slopes.abs().sqrt().mean(1).square()


def _layer(
    organism: ResidualOrganism, layer: int, hosts: Sequence[Host], names: Sequence[str], losses: bool
) -> Assay:
    """Assay the living slots of a layer. Before the first layer all hosts are the same, and so are their guests."""
    slots = organism.pool.living(layer)
    guests = organism.guests(layer, hosts[0].reads[layer], slots, names)
    found = []
    for place, host in enumerate(hosts):
        if layer > 0 and place > 0:
            guests = organism.guests(layer, host.reads[layer], slots, names)
        found.append(_in_host(host, layer, guests, names, losses))
    return Assay(
        torch.stack([each.drops for each in found]).mean(0),
        {name: torch.stack([each.measures[name] for each in found]).mean(0) for name in names},
        torch.stack([each.gradients for each in found]).mean(0),
    )


def _in_host(host: Host, layer: int, guests: Any, names: Sequence[str], losses: bool) -> Assay:
    """Assay n guests in one host, whose own organism says what changes."""
    guests = host.organism.joined(host.residents[layer], guests)
    changes = host.organism.grafted(host.residents[layer], guests, host.streams[layer])
    if not isinstance(changes, Writes):
        changes = list(changes)
    first = -_along(changes, host.slopes[layer]).double()
    drops = first.new_zeros(len(first), 0)
    if losses or wants_losses(names):
        drops = host.losses.double() - _losses(host, layer, changes).double()
    own = [name for name in names if not is_effect(name) and name not in WORTHS]
    measures = dict(host.organism.described(host.residents[layer], guests, own)) if own else {}
    measures |= _of_written(host, layer, guests, names)
    gradients = typical(first)
    for name in names:
        match name:
            case "gradient_flow":
                measures[name] = gradients.clamp_min(SMALLEST).log10()
            case "served_share":
                measures[name] = served(drops)
            case "effect_evenness":
                measures[name] = evenness(drops)
            case "effect_curvature":
                measures[name] = beyond(drops, first)
            case "effect_depth":
                measures[name] = beyond(drops, _direct(host, layer, changes, drops))
            case "alignment":
                measures[name] = alignment(first, changes, host.slopes[layer])
    return Assay(drops if losses else drops[:, :0], measures, gradients)


def _of_written(host: Host, layer: int, guests: Any, names: Sequence[str]) -> Mapping[str, Tensor]:
    """Return the measures, of those that are wanted, that follow from what n guests themselves write."""
    found: dict[str, Tensor] = {}
    if any(is_of_writes(name) or name in OF_PAIRS or name == "information" for name in names):
        writes = host.organism.written(host.residents[layer], guests)
        found |= in_host(writes, host.parts[layer], [name for name in names if name in OF_PAIRS])
        for name in names:
            if is_of_writes(name):
                found[name] = of_writes(name, writes, host.streams[layer], host.written[layer])
            elif name == "information":
                found[name] = information(writes, host.organism.task, host.targets)
    return found


def _direct(host: Host, layer: int, changes: Any, drops: Tensor) -> Tensor:
    """Return the drops [n, P] when the changes reach the readout as they are; all of a drop in the last layer."""
    last = host.organism.pool.depth - 1
    return drops if layer == last else host.losses.double() - _losses(host, last, changes).double()


def _losses(host: Host, layer: int, changes: Any) -> Tensor:
    """Return the losses [n, P] when each change is added to the stream after a layer."""
    return host.organism.changed_losses(layer + 1, host.streams[layer], changes, host.targets)


def _along(changes: Writes | list[Tensor], slope_PSD: Tensor) -> Tensor:
    """Return the inner product of each change with the slope of each example's loss, [n, P]."""
    if isinstance(changes, Writes):
        return changes.along(slope_PSD).T
    if not changes:
        return slope_PSD.new_zeros(0, len(slope_PSD))
    return torch.stack([(slope_PSD * y_PSD).sum((-2, -1)) for y_PSD in changes])
