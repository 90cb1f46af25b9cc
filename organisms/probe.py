"""One look at the probe split: the five measures, gate gradients and exact ablations of every living slot."""

import torch
from torch import Tensor

from organisms.nn import example_losses, readout, rms_norm, stem
from organisms.residual import ResidualOrganism
from organisms.species import Probe
from organisms.writes import Writes


def look(organism: ResidualOrganism, inputs: Tensor, targets: Tensor) -> Probe:
    """Measure, gate off and differentiate every living slot.

    The gate of slot n multiplies what it writes, y_n [B, S, D]; so the gradient of an example's loss by
    the gate is <dloss/dx, y_n>, and the ablated residual stream is x - y_n, exactly.

    Parameters
    ----------
    inputs, targets
        The P examples to look at.
    """
    x = stem(organism.task, organism.interface, inputs)
    streams, written, seen, nudges, answered = [], [], [], [], []
    for layer in range(organism.pool.depth):
        slots = organism.pool.living(layer)
        nudge = torch.zeros_like(x, requires_grad=True)  # its gradient is that of the stream here
        x = organism.entering(layer, x)
        found = organism.observed(layer, rms_norm(x))
        x = x + found.writes.total() + nudge
        streams.append(x.detach())
        written.append(_detached(found.writes[slots]))
        numbers = (found.span, found.sparsity, found.locality, found.intensity)
        seen.append(torch.stack([each.detach().double() for each in numbers])[:, slots])
        nudges.append(nudge)
        if found.answered is not None:
            answered.append(found.answered[:, slots].T)
    losses = example_losses(organism.task, readout(organism.task, organism.interface, x), targets)
    slopes = torch.autograd.grad(losses.sum(), nudges)
    loss = losses.detach().double().mean()
    with torch.no_grad():
        gradients = torch.cat([_gate_gradients(y, slope) for y, slope in zip(written, slopes, strict=True)])
        ablated = [
            organism.changed_losses(layer + 1, x, -y, targets)
            for layer, (x, y) in enumerate(zip(streams, written, strict=True))
        ]
        span, sparsity, locality, intensity = torch.cat(seen, dim=1)
        columns = [
            span / max(organism.task.distances.max(), 1e-12),
            sparsity,
            torch.log10((gradients / gradients.mean().clamp_min(1e-30)).clamp_min(1e-12)),
            locality,
            intensity,
        ]
    living = tuple(slot for slot, _ in organism.pool.alive())
    ablations = torch.cat(ablated).double().mean(-1) - loss
    return Probe(
        slots=living,
        measures=torch.stack(columns, dim=-1),
        gradients=gradients,
        ablations=ablations,
        loss=float(loss),
        answered=torch.cat(answered) if answered else None,
    )


def _detached(writes: Writes) -> Writes:
    return Writes(writes.values.detach(), writes.write.detach())


def _gate_gradients(writes: Writes, slope_BSD: Tensor) -> Tensor:
    return writes.along(slope_BSD).double().square().mean(0).sqrt()
