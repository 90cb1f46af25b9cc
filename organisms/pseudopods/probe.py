"""One look at the probe split: the five measures, gate gradients and exact ablations of every living slot."""

from collections.abc import Sequence

import torch
from torch import Tensor

from organisms.nn import example_losses, readout, rms_norm, stem
from organisms.pseudopods.organism import PseudopodOrganism
from organisms.species import Probe
from organisms.writes import Writes

QUIET = 0.1  # an activation under this share of the component's RMS counts as off


def look(organism: PseudopodOrganism, inputs: Tensor, targets: Tensor, intensities: Sequence[float]) -> Probe:
    """Measure, gate off and differentiate every living slot.

    The gate of slot n multiplies what it writes, y_n [B, S, D]; so the gradient of an example's loss by
    the gate is <dloss/dx, y_n>, and the ablated residual stream is x - y_n, exactly.

    Parameters
    ----------
    inputs, targets
        The P examples to look at.
    intensities
        log2 of counted FLOPs over counted bytes, for each living slot in order.
    """
    x = stem(organism.task, organism.interface, inputs)
    streams, written, seen, nudges = [], [], [], []
    for layer in range(organism.pool.depth):
        slots = organism.pool.living(layer)
        nudge = torch.zeros_like(x, requires_grad=True)  # its gradient is that of the stream here
        writes, statistics = organism.observed(layer, rms_norm(x))
        x = x + writes.total() + nudge
        streams.append(x.detach())
        written.append(_detached(writes[slots]))
        seen.append(torch.stack([statistics.span, statistics.locality]).detach()[:, slots])
        nudges.append(nudge)
    losses = example_losses(organism.task, readout(organism.task, organism.interface, x), targets)
    slopes = torch.autograd.grad(losses.sum(), nudges)
    loss = losses.detach().double().mean()
    with torch.no_grad():
        gradients = torch.cat([_gate_gradients(y, slope) for y, slope in zip(written, slopes, strict=True)])
        ablated = [
            organism.changed_losses(layer + 1, x, -y, targets)
            for layer, (x, y) in enumerate(zip(streams, written, strict=True))
        ]
        span, locality = torch.cat(seen, dim=1).double() / max(organism.task.distances.max(), 1e-12)
        columns = [
            span,
            torch.cat([_quiet_shares(y) for y in written]),
            torch.log10((gradients / gradients.mean().clamp_min(1e-30)).clamp_min(1e-12)),
            locality,
            torch.tensor(list(intensities), dtype=torch.float64, device=span.device),
        ]
    living = tuple(slot for slot, _ in organism.pool.alive())
    ablations = torch.cat(ablated).double().mean(-1) - loss
    return Probe(living, torch.stack(columns, dim=-1), gradients, ablations, float(loss))


def _detached(writes: Writes) -> Writes:
    return Writes(writes.values.detach(), writes.write.detach())


def _gate_gradients(writes: Writes, slope_BSD: Tensor) -> Tensor:
    return writes.along(slope_BSD).double().square().mean(0).sqrt()


def _quiet_shares(writes: Writes) -> Tensor:
    shares = []
    for y_BSD in writes.dense():
        power = y_BSD.square_()
        shares.append((power < QUIET**2 * power.mean()).float().mean())
    return torch.stack(shares).double() if shares else writes.write.new_zeros(0).double()
