"""One look at the probe split: the five measures, gate gradients and exact ablations of every living slot."""

from collections.abc import Sequence

import torch
from torch import Tensor

from organisms.nn import example_losses, readout, rms_norm, stem
from organisms.pseudopods.organism import PseudopodOrganism
from organisms.species import Probe

QUIET = 0.1  # an activation under this share of the component's RMS counts as off
LARGEST_CHUNK = 2**23  # numbers in one batch of ablations or assays: larger ones pay for fresh memory


def look(
    organism: PseudopodOrganism, inputs: Tensor, targets: Tensor, intensities: Sequence[float]
) -> Probe:
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
    living = [slot for slot, _ in organism.pool.alive()]
    x = stem(organism.task, organism.interface, inputs)
    streams, written, seen, nudges = [], [], [], []
    for layer in range(organism.pool.depth):
        slots = _of_layer(organism, living, layer)
        nudge = torch.zeros_like(x, requires_grad=True)  # its gradient is that of the stream here
        y_CBSD, statistics = organism.separate(layer, rms_norm(x))
        x = x + y_CBSD.sum(0) + nudge
        streams.append(x.detach())
        written.append(y_CBSD.detach()[slots])
        seen.append(torch.stack([statistics.span, statistics.locality]).detach()[:, slots])
        nudges.append(nudge)
    losses = example_losses(organism.task, readout(organism.task, organism.interface, x), targets)
    slopes = torch.autograd.grad(losses.sum(), nudges)
    loss = losses.detach().double().mean()

    gradients = torch.cat([_gate_gradient(y, g) for y, g in zip(written, slopes, strict=True)])
    ablations = torch.cat(
        [
            ablated_losses(organism, layer + 1, x, -y, targets).double().mean(-1) - loss
            for layer, (x, y) in enumerate(zip(streams, written, strict=True))
        ]
    )
    span, locality = torch.cat(seen, dim=1).double() / organism.distances.max().clamp_min(1e-12)
    measures = torch.stack(
        [
            span,
            torch.cat([_quiet_share(y) for y in written]),
            torch.log10((gradients / gradients.mean().clamp_min(1e-30)).clamp_min(1e-12)),
            locality,
            torch.tensor(list(intensities), dtype=torch.float64, device=span.device),
        ],
        dim=-1,
    )
    return Probe(tuple(living), measures, gradients, ablations, float(loss))


@torch.no_grad()
def ablated_losses(
    organism: PseudopodOrganism, layer: int, x_BSD: Tensor, change_nBSD: Tensor, targets: Tensor
) -> Tensor:
    """Losses [n, B] of the layers from `layer` on when each change alone is added to the stream x."""
    chunk = max(1, LARGEST_CHUNK // max(1, change_nBSD[:1].numel()))
    parts = [organism.tail(layer, x_BSD + part, targets) for part in change_nBSD.split(chunk)]
    return torch.cat(parts) if parts else x_BSD.new_zeros(0, len(x_BSD))


def _of_layer(organism: PseudopodOrganism, living: list[int], layer: int) -> list[int]:
    first = layer * organism.pool.capacity
    return [slot - first for slot in living if organism.pool.layer(slot) == layer]


def _gate_gradient(y_nBSD: Tensor, slope_BSD: Tensor) -> Tensor:
    per_example = torch.einsum("nbk,bk->nb", y_nBSD.flatten(2), slope_BSD.flatten(1))
    return per_example.double().square().mean(-1).sqrt()


def _quiet_share(y_nBSD: Tensor) -> Tensor:
    flat = y_nBSD.flatten(1)
    rms = flat.square().mean(-1, keepdim=True).sqrt()
    return (flat.abs() < QUIET * rms).double().mean(-1)
