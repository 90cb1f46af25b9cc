"""One pass over the probe split: the exact ablation of every living slot of an organism."""

import torch
from torch import Tensor

from organisms.layers.norms import rms_norm
from organisms.nn import example_losses, readout, stem
from organisms.residual.alike import at_home
from organisms.residual.organism import ResidualOrganism
from organisms.species import PROPERTIES, Probe


@torch.no_grad()
def look(organism: ResidualOrganism, inputs: Tensor, targets: Tensor) -> Probe:
    """Gate off every living slot alone, count what is routed to it, and see how like the others it writes.

    Where the gate of slot n multiplies what it writes, y_n [B, S, D], the ablated residual stream is x - y_n, exactly.

    Parameters
    ----------
    organism
        The organism to look at.
    inputs, targets
        The P examples to look at it with.
    """
    x = stem(organism.task, organism.interface, inputs)
    streams, looks, likenesses = [], [], []
    for layer in range(organism.pool.depth):
        x = organism.entering(layer, x)
        looks.append((organism.pool.living(layer), organism.observed(layer, rms_norm(x))))
        own, seen = looks[-1]
        first = None if not own else organism.pool.occupants[layer * organism.pool.capacity + own[0]]
        context = None if first is None else organism.pool.extract_component_context(first.component)
        likenesses.append(at_home(seen.writes[own], context))
        x = x + looks[-1][1].writes.total()
        streams.append(x)
    losses = example_losses(organism.task, readout(organism.task, organism.interface, x), targets)
    loss = losses.double().mean()
    ablated = [
        organism.changed_losses(layer + 1, stream, seen.without(own), targets)
        for layer, (stream, (own, seen)) in enumerate(zip(streams, looks, strict=True))
    ]
    routed_tokens = [seen.routed_tokens[:, own].T for own, seen in looks if seen.routed_tokens is not None]
    return Probe(
        slots=tuple(slot for slot, _ in organism.pool.alive()),
        ablations=torch.cat(ablated).double().mean(-1) - loss,
        loss=float(loss),
        routed_tokens=torch.cat(routed_tokens) if routed_tokens else None,
        properties={name: torch.cat([each[name] for each in likenesses]) for name in PROPERTIES},
    )
