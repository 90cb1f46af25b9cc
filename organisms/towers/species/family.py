"""The tower family: collectives whose towers are born and die.

The pool's slots are the towers of a layer, whose opinions a fusion mixes. Before each layer a frozen attention layer,
the mixer, which is part of the interface, lets tokens see one another; a tower with an attention stage also looks
for itself.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from organisms.mixer import new_mixer
from organisms.nn import Interface
from organisms.options import FamilyOptions, Sizes
from organisms.pool import Pool
from organisms.residual import units
from organisms.residual.family import ResidualFamily
from organisms.task import Task
from organisms.towers.species import component
from organisms.towers.species.cost import cost
from organisms.towers.species.options import TowerOptions
from organisms.towers.species.organism import TowerOrganism
from qd.records import Genes, Genome


class Towers(ResidualFamily):
    """Builds organisms of towers for a task."""

    family: ClassVar[str] = "towers"
    options: ClassVar[type[FamilyOptions]] = TowerOptions
    ranks: ClassVar[Mapping[str, str]] = {}  # no matrix is held as factors: a tower is as narrow as its rank
    outputs: ClassVar[Sequence[str]] = ("write",)

    def __init__(self, task: Task, sizes: Sizes, options: TowerOptions) -> None:
        super().__init__(task, sizes, component.genes(options), component.layout(sizes.dim, options))
        self.own = options
        self.hidden_axes = units.hidden_axes(component.AXES, [part.name for part in self.layout])

    def interface(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw an untrained interface: stem, readout, and a mixer for each layer."""
        return super().interface(generator) | new_mixer(self.dim, self.depth, generator)

    def around(self, interface: Interface, pool: Pool) -> TowerOrganism:
        """Build an organism of an interface and an empty pool."""
        return TowerOrganism(self.task, interface, pool, self.own)

    def random_genome(self, depth: int, genes: Genes, generator: np.random.Generator) -> Genome:
        """Draw an untrained tower.

        Parameters
        ----------
        depth
            Layer that it is for.
        genes
            Its structural genes.
        generator
            Source of the draws.
        """
        return component.random_tower(self.family, self.dim, self.own, depth, genes, generator)

    def fitted(self, genome: Genome, genes: Genes, generator: np.random.Generator) -> Genome:
        """Return a tower with the stages and widths that these genes say.

        Parameters
        ----------
        genome
            The tower; its own genes stay as they are.
        genes
            Structural genes to fit it to; all but `activation` count.
        generator
            Source of what is added.
        """

        def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
            return component.drawn(name, shape, self.dim, generator)

        return units.fitted(genome, genes, component.AXES, draw)

    def aligned(self, genome: Genome, like: Genome) -> Genome:
        """Permute the units of a tower, on every axis, to match another's."""
        return units.aligned(genome, like, component.AXES)

    def cost(self, genes: Genes) -> tuple[float, float]:
        """Return FLOPs (a multiply-add is two) and bytes (float32, each operand once) of one tower on one example."""
        return cost(self.task, self.dim, dict(genes), self.own.messages)
