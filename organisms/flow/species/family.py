"""The flow family: networks whose flow patterns are born and die.

The pool's slots are the patterns of a layer; each token mixes the flows of a few. They move what a token is given from
other tokens, so that no mixer has to.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from organisms.flow.species import component
from organisms.flow.species.cost import cost
from organisms.flow.species.options import FlowOptions
from organisms.flow.species.organism import FlowOrganism
from organisms.nn import Interface
from organisms.options import FamilyOptions, Sizes
from organisms.pool import Pool
from organisms.residual import units
from organisms.residual.family import ResidualFamily
from organisms.task import Task
from qd.records import Genes, Genome


class Flow(ResidualFamily):
    """Builds organisms of flow patterns for a task."""

    family: ClassVar[str] = "flow"
    options: ClassVar[type[FamilyOptions]] = FlowOptions
    # No matrix is held as factors: a pattern is as narrow as its rank.
    ranks: ClassVar[Mapping[str, str]] = {}
    outputs: ClassVar[Sequence[str]] = ("write",)

    def __init__(self, task: Task, sizes: Sizes, options: FlowOptions) -> None:
        super().__init__(task, sizes, component.genes(task, options), component.layout(sizes.dim, options))
        self.k = options.patterns_per_token
        self.hidden_axes = units.hidden_axes(component.AXES, [part.name for part in self.layout])

    def around(self, interface: Interface, pool: Pool) -> FlowOrganism:
        """Build an organism of an interface and an empty pool."""
        return FlowOrganism(self.task, interface, pool, self.k)

    def random_genome(self, depth: int, genes: Genes, generator: np.random.Generator) -> Genome:
        """Draw an untrained pattern.

        Parameters
        ----------
        depth
            Layer that it is for.
        genes
            Its structural genes.
        generator
            Source of the draws.
        """
        return component.random_pattern(self.family, self.layout, depth, genes, generator)

    def fitted(self, genome: Genome, genes: Genes, generator: np.random.Generator) -> Genome:
        """Return a pattern with the rank and the channels that these genes say.

        Parameters
        ----------
        genome
            The pattern; its own genes stay as they are.
        genes
            Structural genes to fit it to; `rank` and `channels` count.
        generator
            Source of what is added.
        """

        def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
            return component.drawn(name, shape, generator)

        return units.fitted(genome, genes, component.AXES, draw)

    def aligned(self, genome: Genome, like: Genome) -> Genome:
        """Permute the units and channels of a pattern to match another's."""
        return units.aligned(genome, like, component.AXES)

    def cost(self, genes: Genes) -> tuple[float, float]:
        """Return FLOPs and bytes of one pattern on one example if tokens were spread evenly over all slots."""
        even = self.task.length * min(self.k, self.capacity) / self.capacity
        return cost(self.task, self.dim, dict(genes), even)
