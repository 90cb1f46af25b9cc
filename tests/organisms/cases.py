"""What every family is tried on: tasks of all kinds, organisms of several shapes, options of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from organisms.families import FAMILIES
from organisms.nn import example_losses
from organisms.species import Organism, Probe, Species
from tests.fixtures import naive_interface
from tests.fixtures.small_worlds import (
    DEFINED,
    KINDS,
    examples_of,
    small_organism,
    small_species,
    small_stream,
    small_task,
)

SHAPES = {  # options, and the living slots
    "two layers": ({"depth": 2, "capacity": 4}, (0, 2, 3, 4, 6)),
    "one layer": ({"depth": 1, "capacity": 5}, (0, 2, 3)),
    "an empty layer": ({"depth": 3, "capacity": 3, "dim": 34}, (0, 1, 2, 7)),
    "narrow": ({"depth": 1, "capacity": 5, "dim": 3}, (1,)),
}


@dataclass(frozen=True)
class Case:
    """Organisms of a family, of a shape, on a task of a kind."""

    family: str
    kind: tuple[str, str, bool] = KINDS[0]
    shape: str = "two layers"
    variant: str | None = None

    def __str__(self) -> str:
        words = (self.family, *self.kind[:2], self.shape, self.variant)
        return "-".join(word for word in words if word)

    @property
    def slots(self) -> tuple[int, ...]:
        return SHAPES[self.shape][1]

    def species(self) -> Species:
        defined = DEFINED[self.family]
        sizes = SHAPES[self.shape][0] | (defined.variants[self.variant] if self.variant else {})
        if self.shape == "narrow":
            sizes |= dict.fromkeys(defined.largest, 1)
        if self.variant in defined.streams:
            return small_species(small_stream(*self.kind[:2], examples=5), self.family, **sizes)
        return small_species(small_task(*self.kind, examples=5), self.family, **sizes)

    def organism(self, slots: Sequence[int] | None = None, seed: int = 0) -> Organism:
        return small_organism(self.species(), self.slots if slots is None else slots, seed)


def _kind(family: str, variant: str) -> tuple[str, str, bool]:
    return KINDS[2] if variant in DEFINED[family].streams else KINDS[0]  # streams are causal


CASES = [
    case
    for family in FAMILIES
    for case in (
        *(Case(family, kind) for kind in KINDS),
        Case(family, shape="one layer"),
        Case(family, KINDS[2], "narrow"),
        Case(family, KINDS[4], "an empty layer"),
        *(Case(family, _kind(family, variant), variant=variant) for variant in DEFINED[family].variants),
    )
]


def in_float64(organism: Organism) -> tuple[Organism, Tensor, Tensor]:
    """The organism with all it has in float64, its stacks wanting gradients, and examples."""
    organism.interface = {name: tensor.double() for name, tensor in organism.interface.items()}
    pool = organism.pool
    pool.stacks = {name: stack.double().requires_grad_() for name, stack in pool.stacks.items()}
    inputs, targets = examples_of(organism.task)
    return organism, inputs.double() if inputs.is_floating_point() else inputs, targets


def defined_outputs(organism: Organism, inputs: Tensor, gates: Tensor | None = None) -> Tensor:
    definition = DEFINED[organism.pool.family].definition
    return definition.outputs(organism, naive_interface.parts(organism), inputs, gates)


def defined_losses(
    organism: Organism, inputs: Tensor, targets: Tensor, gates: Tensor | None = None
) -> Tensor:
    """Loss of each example by definition, float64 [B]."""
    return naive_interface.losses(organism.task, defined_outputs(organism, inputs, gates), targets)


def losses(organism: Organism, inputs: Tensor, targets: Tensor, gates: Tensor | None = None) -> Tensor:
    """Loss of each example, run literally, float64 [B]."""
    return example_losses(organism.task, organism(inputs, gates), targets).double()


def gates_of(organism: Organism, slot: int, value: float) -> Tensor:
    """Gates of 1 but for one slot's."""
    gates = torch.ones(organism.pool.size, dtype=torch.float64)
    gates[slot] = value
    return gates


def probed(case: Case, slots: Sequence[int] | None = None) -> tuple[Species, Organism, Tensor, Tensor, Probe]:
    """A family, an organism, the examples that it was looked at with, and what was seen."""
    species, organism = case.species(), case.organism(slots)
    inputs, targets = examples_of(species.task)
    return species, organism, inputs, targets, species.probe(organism, inputs, targets)


def rewrite(organism: Organism, slot: int, genes: Mapping[str, float] | None = None, **arrays) -> None:
    """Replace the component in a slot by one of other genes and arrays."""
    genome, occupant = organism.pool.genome(slot), organism.pool.occupants[slot]
    changed = {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()}
    values = tuple(sorted((dict(genome.genes) | dict(genes or {})).items()))
    organism.pool.retire(slot)
    organism.pool.graft(slot, replace(genome, genes=values, arrays={**genome.arrays, **changed}), occupant)


def tensors_of(organism: Organism) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in organism.pool.tensors().items()}
