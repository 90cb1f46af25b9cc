"""An organism of flow patterns: each token mixes the flows of the k living patterns of its largest logits.

Shape suffixes: B examples, S tokens, T = B S, n patterns, D residual width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from organisms.flow.species.observed import Patterns, describe
from organisms.flow.species.patterns import Reach, flows
from organisms.nn import Interface
from organisms.pool import Pool
from organisms.residual.candidates import Guests
from organisms.residual.routed import RoutedOrganism
from organisms.residual.writes import Writes
from organisms.task import Task


class FlowOrganism(RoutedOrganism):
    """``x <- x + sum over the k patterns of a token of weight flow(rms_norm(x))`` per layer."""

    def __init__(self, task: Task, interface: Interface, pool: Pool, k: int) -> None:
        super().__init__(task, interface, pool, k)
        self.distances = torch.tensor(task.distances, dtype=torch.float32, device=pool.counts.device)

    def guests(self, layer: int, h_BSD: Tensor, slots: Sequence[int], names: Sequence[str] = ()) -> Patterns:
        """Return the logits, outputs and flows of some slots for every token, mixed by it or not.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the host's patterns read.
        slots
            Slots of the layer, counted from its first.
        names
            Not used: nothing more is needed for any measure.
        """
        places_n = self.pool.places(layer, slots)
        arrays = {name: self.pool.layers(name)[layer][places_n] for name in self.pool.stacks}
        of_slots, distances_SS = self.pool.genes(layer), self.distances.to(h_BSD.dtype)
        genes = [of_slots[slot] for slot in slots]
        name = ("reach", tuple(slots), h_BSD.dtype)
        reach = self.pool.kept(layer, name, lambda: Reach.of(genes, distances_SS))
        logits_Tn = (h_BSD @ arrays["route"].T).flatten(0, 1)
        found = flows(arrays, reach, h_BSD, distances_SS, self.task.causal)
        return Patterns(logits_Tn, Writes(found.given_BnSR, arrays["write"]), genes, found)

    def described(
        self, residents: Patterns, guests: Guests[Patterns], names: Sequence[str]
    ) -> Mapping[str, Tensor]:
        """Measure the guests in a host (`organisms.flow.species.observed.describe`).

        Parameters
        ----------
        residents
            The host's own patterns.
        guests
            The n patterns to graft, joined to them.
        names
            The measures that are wanted.
        """
        dim = self.interface["embed"].shape[1]
        return describe(self.task, dim, residents, guests, names)
