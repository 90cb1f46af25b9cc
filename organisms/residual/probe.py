"""One pass over the probe split: the built-in measures, gate gradients and exact ablations of every living slot."""

import torch
from torch import Tensor

from organisms.layers.norms import rms_norm
from organisms.nn import example_losses, readout, stem
from organisms.residual.organism import Observed, ResidualOrganism
from organisms.species import Probe


def look(organism: ResidualOrganism, inputs: Tensor, targets: Tensor) -> Probe:
    """Measure every living slot, with its gate gradient and its ablation.

    Where the gate of slot n multiplies what it writes, y_n [B, S, D], the gradient of an example's loss with respect to
    the gate is <dloss/dx, y_n>, and the ablated residual stream is x - y_n, exactly.

    Parameters
    ----------
    organism
        The organism to look at.
    inputs, targets
        The P examples to look at it with.
    """
    x = stem(organism.task, organism.interface, inputs)
    streams, layers, nudges = [], [], []
    for layer in range(organism.pool.depth):
        nudge = torch.zeros_like(x, requires_grad=True)  # its gradient is that of the stream here
        x = organism.entering(layer, x)
        layers.append(organism.observed(layer, rms_norm(x)))
        x = x + layers[-1].writes.total() + nudge
        streams.append(x.detach())
        nudges.append(nudge)
    losses = example_losses(organism.task, readout(organism.task, organism.interface, x), targets)
    slopes = torch.autograd.grad(losses.sum(), nudges)
    loss = losses.detach().double().mean()
    slots = [organism.pool.living(layer) for layer in range(organism.pool.depth)]
    looks = list(zip(slots, layers, strict=True))
    with torch.no_grad():
        by_gates = [seen.by_gates(own, slope) for (own, seen), slope in zip(looks, slopes, strict=True)]
        gradients = torch.cat([typical(slope_Bn.double()) for slope_Bn in by_gates])
        ablated = [
            organism.changed_losses(layer + 1, x, seen.without(own), targets)
            for layer, (x, (own, seen)) in enumerate(zip(streams, looks, strict=True))
        ]
        span, sparsity, locality, intensity = torch.cat(
            [_numbers(seen)[:, own] for own, seen in looks], dim=1
        )
        columns = [
            span / max(organism.task.distances.max(), 1e-12),
            sparsity,
            torch.log10((gradients / gradients.mean().clamp_min(1e-30)).clamp_min(1e-12)),
            locality,
            intensity,
        ]
    routed_tokens = [seen.routed_tokens[:, own].T for own, seen in looks if seen.routed_tokens is not None]
    ablations = torch.cat(ablated).double().mean(-1) - loss
    return Probe(
        slots=tuple(slot for slot, _ in organism.pool.alive()),
        measures=torch.stack(columns, dim=-1),
        gradients=gradients,
        ablations=ablations,
        loss=float(loss),
        routed_tokens=torch.cat(routed_tokens) if routed_tokens else None,
    )


def typical(slopes: Tensor) -> Tensor:
    """Return the size of gradients [B, n] over examples, [n]: the power mean of exponent 1/2, (mean sqrt |slope|)^2.

    Differs from the root mean square, which few examples dominate once a network has learnt the others: its values on
    the two halves of the probe split then hardly agree.
    """
    return slopes.abs().sqrt().mean(0).square()


def _numbers(seen: Observed) -> Tensor:
    """Return four measures, float64 [4, C]."""
    measures = (seen.span, seen.sparsity, seen.locality, seen.intensity)
    return torch.stack([each.detach().double() for each in measures])
