"""The expert family: a mixture of experts whose experts are born and die.

The pool's slots are the experts of a layer, and the columns of the layer's router belong to the experts: a birth adds
an expert with its column, a death removes both. Before each layer a frozen attention layer, the mixer, which is part of
the interface, lets tokens see one another.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from organisms.experts.species import component
from organisms.experts.species.cost import cost
from organisms.experts.species.options import ExpertOptions
from organisms.experts.species.organism import ExpertOrganism
from organisms.mixer import new_mixer
from organisms.nn import Interface
from organisms.options import FamilyOptions, Sizes
from organisms.pool import Pool
from organisms.residual.family import ResidualFamily
from organisms.task import Task
from qd.records import Genes, Genome


class Experts(ResidualFamily):
    """Builds organisms of experts for a task."""

    family: ClassVar[str] = "experts"
    options: ClassVar[type[FamilyOptions]] = ExpertOptions
    ranks: ClassVar[Mapping[str, str]] = {"down": "rank", "up": "rank"}
    outputs: ClassVar[Sequence[str]] = ("down.V",)
    hidden_axes: Mapping[str, Sequence[tuple[str, int]]] = {"hidden": (("up.V", 1), ("down.U", 0))}

    def __init__(self, task: Task, sizes: Sizes, options: ExpertOptions) -> None:
        genes = component.genes(options.max_rank, options.max_hidden)
        super().__init__(
            task, sizes, genes, component.layout(sizes.dim, options.max_rank, options.max_hidden)
        )
        self.k = options.experts_per_token
        self.balance = options.balance

    def interface(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw an untrained interface: stem, readout, and a mixer for each layer."""
        return super().interface(generator) | new_mixer(self.dim, self.depth, generator)

    def around(self, interface: Interface, pool: Pool) -> ExpertOrganism:
        """Build an organism of an interface and an empty pool."""
        return ExpertOrganism(self.task, interface, pool, self.k, self.balance)

    def random_genome(self, depth: int, genes: Genes, generator: np.random.Generator) -> Genome:
        """Draw an untrained expert.

        Parameters
        ----------
        depth
            Layer that it is for.
        genes
            Its structural genes.
        generator
            Source of the draws.
        """
        return component.random_expert(self.family, self.dim, depth, genes, generator)

    def fitted(self, genome: Genome, genes: Genes, generator: np.random.Generator) -> Genome:
        """Return an expert with the hidden width that these genes say.

        Parameters
        ----------
        genome
            The expert; its own genes stay as they are.
        genes
            Structural genes to fit it to; `hidden` counts.
        generator
            Source of the incoming weights of new hidden units.
        """
        return component.with_hidden(genome, int(dict(genes)["hidden"]), generator)

    def aligned(self, genome: Genome, like: Genome) -> Genome:
        """Permute the hidden units of an expert to match another's."""
        return component.aligned(genome, like)

    def cost(self, genes: Genes) -> tuple[float, float]:
        """Return FLOPs and bytes of one expert on one example if tokens were spread evenly over all slots."""
        even = self.task.length * min(self.k, self.capacity) / self.capacity
        return cost(self.task, self.dim, dict(genes), even)
