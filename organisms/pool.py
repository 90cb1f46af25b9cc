"""A pool: the components of one organism, stacked along a slot axis.

Birth writes a slot and death clears it; shapes never change. A factored matrix ``W = U @ V`` is padded
with zeros to the largest inner size. The padding stays exactly zero while it trains (the gradient of a
zero column of U is a product with a zero row of V, and the other way round), so no mask is needed, and
an empty slot, all zeros, contributes exactly nothing.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from qd.lifecycle.comonad import SpatialContext, together
from qd.records import ComponentId, Genes, Genome

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Factored:
    """A matrix of every component, trained as its factors U [rows, inner] and V [inner, columns]."""

    name: str
    rows: int  # the largest sizes; each component's own are its genes, where genes are named
    columns: int
    inner: int
    gene: str  # of the inner size
    rows_gene: str | None = None
    columns_gene: str | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and padded shape of the two factors."""
        return {f"{self.name}.U": (self.rows, self.inner), f"{self.name}.V": (self.inner, self.columns)}

    def own(self, gene: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
        """Name and shape of the two factors of a component with these genes; 0 where one is missing."""
        rows, inner, columns = (
            size if name is None else gene.get(name, 0)
            for size, name in ((self.rows, self.rows_gene), (0, self.gene), (self.columns, self.columns_gene))
        )
        return {f"{self.name}.U": (rows, inner), f"{self.name}.V": (inner, columns)}


@dataclass(frozen=True, slots=True)
class Vector:
    """A vector of every component."""

    name: str
    size: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Its name and shape."""
        return {self.name: (self.size,)}

    def own(self, gene: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
        """Return the same, whatever the genes."""
        return {self.name: (self.size,)}


@dataclass(frozen=True, slots=True)
class Dense:
    """An array of every component, each of whose axes is as long as a product of genes says, or the same for all.

    An axis may have no length, as the first of a stack of stages of which a component has none.
    """

    name: str
    axes: tuple[
        tuple[int, tuple[str, ...]], ...
    ]  # of each: its largest size, and the genes whose product it is

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Its name and padded shape."""
        return {self.name: tuple(size for size, _ in self.axes)}

    def own(self, gene: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
        """Name and shape of a component with these genes; not a number where one is missing."""
        sizes = (
            math.prod(gene.get(name, math.nan) for name in names) if names else size
            for size, names in self.axes
        )
        return {self.name: tuple(sizes)}


Layout: TypeAlias = tuple[Factored | Vector | Dense, ...]


@dataclass(frozen=True, slots=True)
class Occupant:
    """Identity, ancestry and genes of the component in a slot."""

    component: ComponentId
    parents: tuple[ComponentId, ...]
    lineage: ComponentId
    genes: Genes

    def gene(self, name: str) -> float:
        """Return the value of a structural gene."""
        return dict(self.genes)[name]

    @classmethod
    def guest(cls, genes: Genes) -> "Occupant":
        """Return the occupant of a slot that is filled for a look alone, whose identity does not matter."""
        nobody = ComponentId(0, 0, 0)
        return cls(nobody, (), nobody, genes)


@dataclass(frozen=True, slots=True, eq=False)
class Retired:
    """What was in a slot: who, with parameters, optimizer moments and step count."""

    occupant: Occupant
    tensors: Mapping[str, Tensor]


class Pool(nn.Module):
    """The stacked parameters and the occupants of `depth` layers of `capacity` slots each.

    Slot s belongs to layer ``s // capacity``. Parameters and optimizer moments are [N, ...] with
    N = depth x capacity; `counts` [N] is the number of optimizer steps since each slot was last written or cleared.
    """

    def __init__(
        self,
        family: str,
        layout: Layout,
        depth: int,
        capacity: int,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        self.family = family
        self.layout = layout
        self.depth = depth
        self.capacity = capacity
        self.occupants: list[Occupant | None] = [None] * (depth * capacity)
        shapes = {name: shape for part in layout for name, shape in part.shapes.items()}
        self.stacks = {name: torch.zeros(self.size, *shape, device=device) for name, shape in shapes.items()}
        self.first = {name: torch.zeros_like(stack) for name, stack in self.stacks.items()}
        self.second = {name: torch.zeros_like(stack) for name, stack in self.stacks.items()}
        self.counts = torch.zeros(self.size, device=device)
        self._kept: dict[int, tuple[list[Occupant | None], dict[Hashable, Any]]] = {}  # by layer; see `kept`

    @property
    def size(self) -> int:
        """Number of slots N, empty ones included."""
        return self.depth * self.capacity

    def alive(self) -> Iterator[tuple[int, Occupant]]:
        """Return the living slots with their occupants, in order."""
        return ((slot, occupant) for slot, occupant in enumerate(self.occupants) if occupant is not None)

    def living(self, layer: int) -> list[int]:
        """Return the living slots of a layer, counted from the layer's first."""
        first = layer * self.capacity
        return [slot - first for slot, _ in self.alive() if self.layer(slot) == layer]

    def extract_component_context(self, component: ComponentId) -> SpatialContext[int]:
        """Return the slots of a component's layer as a context with its own in focus.

        All of a layer read the same stream and add to it side by side, so that all are equally near.

        Raises
        ------
        ValueError
            If no slot has the component.
        """
        living = {slot: occupant.component for slot, occupant in self.alive()}
        found = next((slot for slot, other in living.items() if other == component), None)
        if found is None:
            names = ", ".join(map(str, living.values()))
            raise ValueError(f"component {component} is in no slot; living components: {names}")
        beside = [slot for slot in living if self.layer(slot) == self.layer(found)]
        return together(beside, beside.index(found))

    def genes(self, layer: int) -> list[dict[str, float]]:
        """Return the genes of every slot of a layer; an empty slot has none."""
        return [{} if occupant is None else dict(occupant.genes) for occupant in self._of_layer(layer)]

    def kept(self, layer: int, name: Hashable, made: Callable[[], T]) -> T:
        """Return what is made of the occupants of a layer, which is made again only when one of its slots has changed.

        So genes are not laid out on the host, and sent to the device, in every forward pass.

        Parameters
        ----------
        layer
            Number of the layer, from 0.
        name
            What is made; one name for each thing that depends on the occupants alone.
        made
            Makes it.
        """
        occupants = self._of_layer(layer)
        known, kept = self._kept.get(layer, (None, {}))
        if known != occupants:
            kept = {}
            self._kept[layer] = (occupants, kept)
        if name not in kept:
            kept[name] = made()
        return cast(T, kept[name])

    def places(self, layer: int, slots: Sequence[int]) -> Tensor:
        """Return slots of a layer, counted from its first, as an index on the device, int64 [n]."""
        chosen = tuple(slots)
        device = self.counts.device
        return self.kept(
            layer, ("places", chosen), lambda: torch.tensor(chosen, dtype=torch.int64, device=device)
        )

    def layer(self, slot: int) -> int:
        """Return the layer of a slot."""
        return slot // self.capacity

    def layers(self, name: str) -> tuple[Tensor, ...]:
        """Return one stack as `depth` tensors [capacity, ...], whose gradients are joined in one operation."""
        stack = self.stacks[name]
        return stack.view(self.depth, self.capacity, *stack.shape[1:]).unbind(0)

    def genome(self, slot: int) -> Genome:
        """Copy a living component out, its matrices trimmed to their own sizes.

        Raises
        ------
        ValueError
            If the slot is empty.
        """
        occupant = self._occupant(slot)
        arrays = {name: stack[slot].detach().cpu().numpy() for name, stack in self.stacks.items()}
        return Genome(self.family, self.layer(slot), occupant.genes, self.trimmed(arrays, occupant.genes))

    def trimmed(self, arrays: Mapping[str, np.ndarray], genes: Genes) -> dict[str, np.ndarray]:
        """Return copies of padded arrays, float32, in the sizes that genes ask for."""
        return {
            name: arrays[name][_corner(shape)].astype(np.float32) for name, shape in self._own(genes).items()
        }

    def graft(self, slot: int, genome: Genome, occupant: Occupant) -> None:
        """Write a genome into an empty slot, with optimizer moments and step count of zero.

        Parameters
        ----------
        slot
            Number of the slot, from 0 over all layers.
        genome
            Arrays and genes of the component.
        occupant
            Its identity and ancestry; the genes are the genome's.

        Raises
        ------
        ValueError
            If the slot is taken, or the genome is of another layer or not as `check` wants it.
        """
        self._check_free(slot)
        if (genome.family, genome.depth) != (self.family, self.layer(slot)):
            raise ValueError(
                f"a genome of {genome.family}, layer {genome.depth}, cannot be born in slot {slot} of "
                f"{self.family}, layer {self.layer(slot)}: graft it where it came from"
            )
        self.check(genome)
        padded = {name: self._padded(name, genome.arrays[name]) for name in self.stacks}
        self._clear(slot)
        for name, array in padded.items():
            self.stacks[name][slot] = array
        self.occupants[slot] = replace(occupant, genes=genome.genes)

    def check(self, genome: Genome) -> None:
        """Check that a genome has exactly the arrays of this pool, in the sizes that its genes say.

        Raises
        ------
        ValueError
            If it is of another family, lacks a gene, or has other names, shapes or types.
        """
        if genome.family != self.family:
            raise ValueError(f"a genome of {genome.family} does not fit a pool of {self.family}")
        if set(genome.arrays) != set(self.stacks):
            raise ValueError(f"a genome has {sorted(self.stacks)}; found {sorted(genome.arrays)}")
        fewest = {name: 0 if isinstance(part, Dense) else 1 for part in self.layout for name in part.shapes}
        for name, shape in self._own(genome.genes).items():
            array, largest = genome.arrays[name], tuple(self.stacks[name].shape[1:])
            if array.shape != shape or any(
                not fewest[name] <= size <= most for size, most in zip(shape, largest, strict=True)
            ):
                raise ValueError(
                    f"{name} of shape {array.shape} does not fit a slot of {largest}: the genes say {shape}"
                )
            if array.dtype != np.float32:
                raise ValueError(f"{name} must be float32, not {array.dtype}")

    def retire(self, slot: int) -> Retired:
        """Clear a living slot: it contributes nothing from now on. What was in it can be restored.

        Raises
        ------
        ValueError
            If the slot is empty already.
        """
        occupant = self._occupant(slot)
        retired = Retired(occupant, {name: tensor[slot].clone() for name, tensor in self.tensors().items()})
        self._clear(slot)
        self.occupants[slot] = None
        return retired

    def restore(self, slot: int, retired: Retired) -> None:
        """Undo the `retire` of a slot.

        Raises
        ------
        ValueError
            If the slot is taken again.
        """
        self._check_free(slot)
        for name, tensor in self.tensors().items():
            tensor[slot] = retired.tensors[name]
        self.occupants[slot] = retired.occupant

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the pool by name: step counts, parameters and moments."""
        named = {"counts": self.counts}
        for kind in ("stacks", "first", "second"):
            named |= {f"{kind}.{name}": tensor for name, tensor in getattr(self, kind).items()}
        return named

    def load(self, tensors: Mapping[str, Tensor], occupants: list[Occupant | None]) -> None:
        """Copy stored tensors and occupants into this pool.

        Raises
        ------
        ValueError
            If a tensor is missing, unknown or of another shape or type, or the number of occupants is not N.
        """
        own = self.tensors()
        unknown = sorted(set(tensors) - set(own))
        if unknown:
            raise ValueError(f"a state has no tensor {unknown[0]!r}; known are {', '.join(own)}")
        for name, tensor in own.items():
            if name not in tensors or tensors[name].shape != tensor.shape:
                found = tuple(tensors[name].shape) if name in tensors else "nothing"
                raise ValueError(f"state tensor {name!r} must be {tuple(tensor.shape)}; found {found}")
            if tensors[name].dtype != tensor.dtype:
                raise ValueError(f"state tensor {name!r} must be {tensor.dtype}; found {tensors[name].dtype}")
        if len(occupants) != self.size:
            raise ValueError(f"a state of {self.size} slots needs as many occupants; found {len(occupants)}")
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
        self.occupants = list(occupants)

    def _of_layer(self, layer: int) -> list[Occupant | None]:
        return self.occupants[layer * self.capacity : (layer + 1) * self.capacity]

    def _occupant(self, slot: int) -> Occupant:
        occupant = self.occupants[slot]
        if occupant is None:
            raise ValueError(f"slot {slot} is empty; living slots: {[s for s, _ in self.alive()]}")
        return occupant

    def _check_free(self, slot: int) -> None:
        if self.occupants[slot] is not None:
            raise ValueError(f"slot {slot} is taken by {self.occupants[slot]}; retire it before a graft")

    def _own(self, genes: Genes) -> dict[str, tuple[float, ...]]:
        return {name: shape for part in self.layout for name, shape in part.own(dict(genes)).items()}

    def _padded(self, name: str, array: np.ndarray) -> Tensor:
        padded = torch.zeros_like(self.stacks[name][0])
        padded[_corner(array.shape)] = torch.from_numpy(np.array(array, order="C"))
        return padded

    def _clear(self, slot: int) -> None:
        for tensor in self.tensors().values():
            tensor[slot] = 0


def _corner(shape: tuple[float, ...]) -> tuple[slice, ...]:
    """Return the slices of the padded array that an array of this shape fills."""
    return tuple(slice(int(size)) for size in shape)
