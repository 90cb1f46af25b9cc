"""Who lives in which slot, and how a newborn's writing rises."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from organisms.pseudopods.evolution import genomes
from organisms.pseudopods.heads import PseudopodAttention
from qd.records import Birth, ComponentId, Genome


@dataclass(frozen=True, slots=True)
class Occupant:
    """The identity of a living head; founders have no parents and begin their own line."""

    component: ComponentId
    parents: tuple[ComponentId, ...]
    lineage: ComponentId


@dataclass(slots=True, eq=False)
class Rising:
    """What a newborn is to write in full, [W, D], and how many steps it has risen."""

    written: Tensor
    steps: int = 0


@dataclass(slots=True, eq=False)
class Population:
    """Heads of an encoder by slot, counted over all layers; births and deaths change parameters in place.

    Parameters
    ----------
    heads
        Of each layer.
    optimizer
        That trains them.
    rise
        Steps in which a newborn's output factor grows from zeros to its genome's, by an equal share in each, on top of
        what training makes of it. So no birth makes the loss jump.
    """

    heads: Sequence[PseudopodAttention]
    optimizer: torch.optim.Optimizer
    rise: int
    occupants: dict[int, Occupant] = field(default_factory=dict)
    rising: dict[int, Rising] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """Slots of a layer."""
        return self.heads[0].output.shape[0]

    def found(self) -> None:
        """Name those who live already."""
        for depth, heads in enumerate(self.heads):
            for slot in heads.living():
                identity = ComponentId(0, 0, depth * self.slots + slot)
                self.occupants[identity.slot] = Occupant(identity, (), identity)

    def place(self, slot: int) -> tuple[PseudopodAttention, int]:
        """Return the layer's heads and the slot among them."""
        return self.heads[slot // self.slots], slot % self.slots

    def genome(self, slot: int) -> Genome:
        """Return who lives in a slot, as a value."""
        return genomes.read(*self.place(slot), slot // self.slots)

    def bury(self, slot: int) -> None:
        """Empty a slot."""
        heads, own = self.place(slot)
        genomes.clear(heads, own)
        genomes.forget(heads, own, self.optimizer)
        del self.occupants[slot]
        self.rising.pop(slot, None)

    def bear(self, birth: Birth, genome: Genome, round: int) -> None:
        """Write a newborn into an empty slot; it writes nothing yet.

        Parameters
        ----------
        birth
            As it was decided.
        genome
            What is born.
        round
            In which it is born.
        """
        heads, own = self.place(birth.slot)
        genomes.write(heads, own, genome)
        genomes.forget(heads, own, self.optimizer)
        with torch.no_grad():
            self.rising[birth.slot] = Rising(heads.output[own].clone())
            heads.output[own] = 0
        identity = ComponentId(0, round, birth.slot)
        self.occupants[birth.slot] = Occupant(identity, birth.parents, birth.lineage or identity)

    @torch.no_grad()
    def raise_newborns(self) -> None:
        """Let what newborns write grow by a step."""
        for slot, each in list(self.rising.items()):
            heads, own = self.place(slot)
            heads.output[own] += each.written.to(heads.output) / self.rise
            each.steps += 1
            if each.steps >= self.rise:
                del self.rising[slot]
