"""An organism of towers: a layer's towers give opinions, which a fusion mixes.

Shape suffixes: B examples, S tokens, C slots of a layer, n of them with towers, D residual width, W width of a tower's
stream.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from organisms.gates import opened
from organisms.nn import Interface
from organisms.pool import Pool
from organisms.residual.organism import Observed, ResidualOrganism
from organisms.residual.writes import Writes
from organisms.task import Task
from organisms.towers.species.observed import Depending, Opinions, describe, grafted, written
from organisms.towers.species.options import TowerOptions
from organisms.towers.species.stack import Stack, attending


class TowerOrganism(ResidualOrganism):
    """``x <- x + sum_n weight_n opinion_n(rms_norm(x))`` per layer, the weights those of a fusion."""

    def __init__(self, task: Task, interface: Interface, pool: Pool, options: TowerOptions) -> None:
        super().__init__(task, interface, pool)
        self.fusion = options.fusion
        self.messages = options.messages

    def mixed(self, layer: int, h_BSD: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the fused opinions of the towers of a layer, [B, S, D].

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the towers read.
        gates
            Gate of every slot of the organism, [N], in [0, 1]; None: all are 1.
        """
        gates_n = None
        living = opened(self.pool.living(layer), layer * self.pool.capacity, gates)
        if not living:
            return torch.zeros_like(h_BSD)
        if gates is not None:
            gates_n = gates.view(self.pool.depth, -1)[layer, self.pool.places(layer, living)]
        return Opinions.of(self.stack(layer, living), h_BSD, gates_n).total_BSD

    def stack(self, layer: int, slots: Sequence[int]) -> Stack:
        """Return some slots of a layer, counted from its first."""
        places_n, of_slots = self.pool.places(layer, slots), self.pool.genes(layer)
        arrays = {name: self.pool.layers(name)[layer][places_n] for name in self.pool.stacks}
        genes = [of_slots[slot] for slot in slots]
        name = ("attending", tuple(slots))
        attending_a = self.pool.kept(layer, name, lambda: attending(genes, places_n.device))
        return Stack(arrays, genes, self.fusion, self.messages, self.task.causal, attending_a)

    def guests(self, layer: int, h_BSD: Tensor, slots: Sequence[int], names: Sequence[str] = ()) -> Opinions:
        """Return what some towers say about every token of a host's stream, each by itself.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        h_BSD
            The normalised stream that the host's towers read.
        slots
            Slots of the layer, counted from its first.
        names
            Not used: nothing more is needed for any measure.
        """
        stack = self.stack(layer, slots)
        streams_BnSW, hidden = stack.passed(h_BSD)
        return Opinions(stack, h_BSD, stack.said(streams_BnSW), stack.scores(streams_BnSW), hidden)

    def residents(self, layer: int, h_BSD: Tensor) -> Opinions:
        """Return what the living towers of a layer say about every token together."""
        return Opinions.of(self.stack(layer, self.pool.living(layer)), h_BSD)

    def grafted(self, residents: Opinions, guests: Opinions, x_BSD: Tensor) -> Writes | Iterator[Tensor]:
        """Return what changes when each guest alone joins the towers of a layer, n times [B, S, D].

        Parameters
        ----------
        residents
            What the host's own towers say.
        guests
            What the n towers to graft say.
        x_BSD
            Not used.
        """
        return grafted(residents, guests)

    def written(self, residents: Opinions, guests: Opinions) -> Writes:
        """Return what each guest itself adds to the stream when it alone joins the residents."""
        return written(residents, guests)

    def described(self, residents: Opinions, guests: Opinions, names: Sequence[str]) -> Mapping[str, Tensor]:
        """Measure the guests in a host (`organisms.towers.species.observed.describe`).

        Parameters
        ----------
        residents
            What the host's own towers say.
        guests
            What the n towers to graft say.
        names
            The measures that are wanted.
        """
        return describe(self.task, self.interface["embed"].shape[1], residents, guests, names)

    def observed(self, layer: int, h_BSD: Tensor) -> Observed:
        """Observe what the towers of a layer add to the stream, and what they would without one of them."""
        living = self.pool.living(layer)
        opinions = self.residents(layer, h_BSD)
        values_BnSW = opinions.heard.values
        values_BCSW = values_BnSW.new_zeros(len(h_BSD), self.pool.capacity, *values_BnSW.shape[2:])
        values_BCSW[:, living] = values_BnSW
        writes = Writes(values_BCSW, self.pool.layers("write")[layer])
        if self.fusion != "adaptive" and not self.messages:
            return Observed(writes)
        return Depending(writes, living=living, opinions=opinions)
