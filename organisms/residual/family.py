"""The base of families whose components add to a residual stream: all that does not depend on the components."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from organisms.nn import Interface, new_interface
from organisms.options import FamilyOptions, Sizes
from organisms.pool import Layout, Pool
from organisms.residual.assay import Host, assay, guest_losses
from organisms.residual.organism import ResidualOrganism
from organisms.residual.probe import look
from organisms.residual.worths import WORTHS
from organisms.species import Assay, Probe
from organisms.task import Task
from qd.genes import GeneSpace
from qd.measures import DESCRIPTIONS, MEASURES
from qd.records import Genes, Genome


class ResidualFamily(ABC):
    """A family of residual organisms (`organisms.species.Species`).

    A subclass adds what depends on its components: their arrays, genes and alignment, how one is drawn and what it
    costs, and the organism that is built around a pool of them.

    Parameters
    ----------
    task
        What its organisms learn.
    sizes
        Width, depth and capacity of each organism.
    genes, layout
        Structural genes of a component, and its arrays.
    """

    family: ClassVar[str]
    options: ClassVar[type[FamilyOptions]]
    ranks: ClassVar[Mapping[str, str]]
    outputs: ClassVar[Sequence[str]] = ()
    worths: ClassVar[Sequence[str]] = WORTHS
    hidden_axes: Mapping[str, Sequence[tuple[str, int]]]

    def __init__(self, task: Task, sizes: Sizes, genes: GeneSpace, layout: Layout) -> None:
        self.task = task
        self.dim = sizes.dim
        self.depth = sizes.depth
        self.capacity = sizes.capacity
        self.genes = genes
        self.layout = layout

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the built-in measures: all, but where there is one layer none that asks for a later one."""
        return tuple(name for name in DESCRIPTIONS if self.depth > 1 or name != "effect_depth")

    @abstractmethod
    def around(self, interface: Interface, pool: Pool) -> ResidualOrganism:
        """Build an organism of an interface and an empty pool."""

    @abstractmethod
    def random_genome(self, depth: int, genes: Genes, generator: np.random.Generator) -> Genome:
        """Draw an untrained component.

        Parameters
        ----------
        depth
            Layer that it is for.
        genes
            Its structural genes.
        generator
            Source of the draws.
        """

    @abstractmethod
    def fitted(self, genome: Genome, genes: Genes, generator: np.random.Generator) -> Genome:
        """Return a genome with the outer sizes of its matrices that some genes ask for.

        Parameters
        ----------
        genome
            The component; its own genes stay as they are.
        genes
            Structural genes to fit it to.
        generator
            Source of what is added.
        """

    @abstractmethod
    def aligned(self, genome: Genome, like: Genome) -> Genome:
        """Permute interchangeable units of a genome to match another of the same sizes; its function stays."""

    @abstractmethod
    def cost(self, genes: Genes) -> tuple[float, float]:
        """Return FLOPs (a multiply-add is two) and bytes (float32, each operand once) of a component on an example."""

    def interface(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw an untrained interface: stem and readout."""
        return new_interface(self.task, self.dim, generator)

    def organism(self, interface: Interface) -> ResidualOrganism:
        """Build an organism with an empty pool, on the device of the interface."""
        device = next((tensor.device for tensor in interface.values()), None)
        return self.around(interface, Pool(self.family, self.layout, self.depth, self.capacity, device))

    def probe(self, organism: ResidualOrganism, inputs: Tensor, targets: Tensor) -> Probe:
        """Measure what every living slot is to its organism (`organisms.residual.probe.look`).

        Parameters
        ----------
        organism
            The organism to look at.
        inputs, targets
            The P examples to look at it with.
        """
        return look(organism, inputs, targets)

    def host(self, organism: ResidualOrganism, inputs: Tensor, targets: Tensor) -> Host:
        """Freeze an organism into a host with cached activations.

        Parameters
        ----------
        organism
            A trained organism, with the slots that a graft needs emptied.
        inputs, targets
            P examples.
        """
        return Host.freeze(organism, inputs, targets)

    def assay(
        self,
        organism: ResidualOrganism,
        hosts: Sequence[Host],
        names: Sequence[str] = MEASURES,
        losses: bool = True,
    ) -> Assay:
        """Graft each living slot alone into each host, and measure what it does there.

        Parameters
        ----------
        organism
            Has the slots to graft in its pool.
        hosts
            Of the same examples.
        names
            Of the measures that are wanted; no others are computed.
        losses
            Whether the drops of the loss are wanted, or the measures alone.
        """
        return assay(organism, hosts, names, losses)

    def guest_losses(self, organism: ResidualOrganism, host: Host) -> Tensor:
        """Return a host's loss of each of its examples with each living slot alone grafted, [n, P].

        It can be differentiated with respect to the stacks of the organism's pool.
        """
        return guest_losses(organism, host)

    def analytic_ranges(self) -> Mapping[str, tuple[float, float]]:
        """Return no ranges, so that all come from samples.

        Bounds that follow from the task alone are far wider than what components reach, and would leave most cells
        empty.
        """
        return {}
