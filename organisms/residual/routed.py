"""The base of organisms whose components compete for tokens: each token goes to the k of its largest logits.

A gate multiplies its component's share of the softmax before it is normalised: its logarithm is added to the logits. At
0 a layer is as if the component were not there; so gating off does what a death does, and a newborn whose gate rises
from 0 takes no token at once.

Shape suffixes: B examples, S tokens, T = B S, C slots of a layer, n of them with components, D residual width.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from organisms.gates import opened
from organisms.nn import Interface
from organisms.pool import Pool
from organisms.residual import candidates
from organisms.residual.candidates import Candidates, Guests, ObservedCandidates
from organisms.residual.organism import ResidualOrganism
from organisms.residual.shares import shares
from organisms.residual.writes import Writes
from organisms.task import Task


class RoutedOrganism(ResidualOrganism):
    """``x <- x + sum over the k components of the largest logits of weight output`` per layer.

    The router of a layer is the columns, ``route``, of its living slots (Shazeer et al. 2017).
    """

    def __init__(self, task: Task, interface: Interface, pool: Pool, k: int) -> None:
        super().__init__(task, interface, pool)
        self.k = k

    @abstractmethod
    def guests(self, layer: int, h_BSD: Tensor, slots: Sequence[int], names: Sequence[str] = ()) -> Any:
        """Return the `Candidates` of some slots: their logits and outputs for every token, chosen or not.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the components read.
        slots
            Slots of the layer, counted from its first.
        names
            The measures for which `described` is to be asked.
        """

    def mixed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the weighted sum of the chosen components' outputs, [B, S, D].

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the components read.
        gates
            Gate of every slot of the organism, [N], in [0, 1]; None: all are 1.
        """
        slots = self.routable_slots(layer, gates)
        if not slots:
            return torch.zeros_like(h_BSD)
        found: Candidates = self.guests(layer, h_BSD, slots)
        logits_Tn = self.gated(layer, found.logits_Tn, slots, gates)
        return found.weighted(shares(logits_Tn, self.k)).total()

    def routable_slots(self, layer: int, gates: Tensor | None = None) -> list[int]:
        """Return the slots of a layer that tokens can go to: those that live and whose gates are not 0."""
        return opened(self.pool.living(layer), layer * self.pool.capacity, gates)

    def gated(self, layer: int, logits_Tn: Tensor, slots: Sequence[int], gates: Tensor | None) -> Tensor:
        """Return the logits of some slots with their gates, which multiply odds, [T, n].

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        logits_Tn
            Without any gate.
        slots
            The n slots, counted from the layer's first, none with a gate of 0.
        gates
            Gate of every slot of the organism, [N]; None: all are 1.
        """
        if gates is None:
            return logits_Tn
        return logits_Tn + gates.view(self.pool.depth, -1)[layer, self.pool.places(layer, slots)].log()

    def residents(self, layer: int, h_BSD: Tensor) -> Any:
        """Return the `Candidates` in the living slots of a layer."""
        return self.guests(layer, h_BSD, self.pool.living(layer))

    def joined(self, residents: Candidates, guests: Candidates) -> Guests[Any]:
        """Return how tokens choose when each guest alone joins a host's own components."""
        return Guests.among(self.k, residents, guests)

    def grafted(self, residents: Candidates, guests: Guests[Any], x_BSD: Tensor) -> Iterator[Tensor]:
        """Yield what changes when each guest alone joins the components of a layer, n times [B, S, D].

        Parameters
        ----------
        residents
            The host's own components.
        guests
            The n components to graft, joined to them.
        x_BSD
            The host's stream after the layer, whose shape the changes have.
        """
        return (change_TD.view_as(x_BSD) for change_TD in candidates.grafted(self.k, residents, guests))

    def written(self, residents: Candidates, guests: Guests[Any]) -> Writes:
        """Return what each guest itself adds to the stream, for the tokens that choose it."""
        return guests.written()

    def observed(self, layer: int, h_BSD: Tensor) -> ObservedCandidates:
        """Observe what every slot of a layer adds to the stream, and how many tokens choose it."""
        return candidates.observe(
            self.k, self.pool.living(layer), self.pool.capacity, self.residents(layer, h_BSD)
        )
