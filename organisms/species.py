"""The contract between the harness and a family of components.

The harness knows organisms by these protocols alone. A family of your own joins by its import path
(``organism.kind: package.module:Name``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from organisms.nn import Interface
from organisms.options import FamilyOptions, Sizes
from organisms.pool import Pool
from organisms.task import Task
from qd.genes import GeneSpace
from qd.measures import MEASURES
from qd.records import Genes, Genome

# Of a component at home (`organisms.residual.alike`).
PROPERTIES = ("effective_rank", "coherence", "correlation")


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What every living slot (n of them, in slot order) is to its own organism, on the probe split."""

    slots: tuple[int, ...]
    ablations: Tensor  # float64 [n]: rise of the probe loss when the slot alone is gated off, in nats
    loss: float  # of these examples, in nats
    # int64 [n, P]: how many tokens of each example are routed to it; None where all components see every token
    routed_tokens: Tensor | None = None
    # float64 [n] each, by name, of `PROPERTIES`: what a slot is among those of its layer; none where a family has none
    properties: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Assay:
    """What every living slot (n of them, in slot order) is to the reference hosts, grafted alone: means over hosts.

    All that the archive compares and places components by is measured here and nowhere else.
    """

    drops: Tensor  # float64 [n, P]: drop of a host's loss of each probe example, in nats; [n, 0] if not asked for
    measures: Mapping[str, Tensor]  # float64 [n] each, raw: those that were asked for, by name
    # float64 [n]: size, over examples, of the first-order change of a host's loss (`organisms.residual.assay.typical`)
    gradients: Tensor


class Organism(Protocol):
    """A network of living parts: a shared, frozen interface around a stacked pool."""

    task: Task
    interface: Interface
    pool: Pool

    def __call__(self, inputs: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return outputs; a gate of 0 makes a slot as good as empty, all are 1 where `gates` [N] is None."""

    def training_losses(self, inputs: Tensor, targets: Tensor, gates: Tensor | None = None) -> Tensor:
        """Return the losses whose mean training minimises, [B]: those of the task, with the family's own if it has any.

        Parameters
        ----------
        inputs, targets
            B examples of the task.
        gates
            Gate of every slot, [N], in [0, 1]; None: all are 1.
        """

    def stats(self) -> dict[str, float]:
        """Return the numbers of living slots and of their parameters."""


class Species(Protocol):
    """A family: how its organisms are built and its components drawn, stored, aligned and counted.

    It is made from a task, the sizes of an organism, and its options. What its gates and its assay mean stands in
    ``options.traits``.

    A family may have ``worths``, names such as ``alignment`` that its `assay` takes beside measures and by which
    ``objective.kind`` can compare its components (`organisms.residual.worths`); its organisms may have ``stream``, as
    `organisms.residual.organism` has it, which a contrastive loss reads. It may have ``outputs``, names of arrays such
    that a component adds s times as much where all of them are multiplied by s (a tower that hears others, of its own);
    the trial of a birth then finds how strongly a newborn is to write (`runs.training.births.trial`), which else is
    tried as it is.
    """

    family: str
    options: type[FamilyOptions]
    depth: int
    capacity: int
    genes: GeneSpace
    measures: Sequence[
        str
    ]  # names of those that can be taken of its components, of `qd.measures.DESCRIPTIONS`
    ranks: Mapping[str, str]  # factored matrix -> the gene that sets its inner size
    # Axes of interchangeable units: name -> (array, axis) each. A permutation along all axes of one name leaves the
    # function as it is, and `aligned` undoes it. Inner axes of factored matrices do not count: variation works on the
    # products of the factors.
    hidden_axes: Mapping[str, Sequence[tuple[str, int]]]

    def __init__(self, task: Task, sizes: Sizes, options: Any) -> None:
        """Make the family for a task; `options` are an instance of the class in its attribute `options`."""

    def interface(self, generator: Any) -> Interface:
        """Draw the untrained interface that all organisms of a run will share."""

    def organism(self, interface: Interface) -> Organism:
        """Build an organism with an empty pool around an interface and on its device."""

    def random_genome(self, depth: int, genes: Genes, generator: Any) -> Genome:
        """Draw an untrained component.

        Parameters
        ----------
        depth
            Layer that it is for.
        genes
            Its structural genes.
        generator
            Source of the draws, a NumPy generator.
        """

    def fitted(self, genome: Genome, genes: Genes, generator: Any) -> Genome:
        """Return a genome with the outer sizes of its matrices that some genes ask for; `ranks` names the inner ones.

        Parameters
        ----------
        genome
            The component; its own genes stay as they are.
        genes
            Structural genes to fit it to.
        generator
            Source of what is added, a NumPy generator.
        """

    def aligned(self, genome: Genome, like: Genome) -> Genome:
        """Permute interchangeable units of a genome to match another of the same sizes; its function stays."""

    def probe(self, organism: Any, inputs: Tensor, targets: Tensor) -> Probe:
        """Measure what every living slot is to its organism: its exact ablation, and what is routed to it.

        Parameters
        ----------
        organism
            The organism to look at.
        inputs, targets
            The P examples to look at it with.
        """

    def assay(
        self, organism: Any, hosts: Sequence[Any], names: Sequence[str] = MEASURES, losses: bool = True
    ) -> Assay:
        """Graft each living slot alone into each host, and measure what it does there.

        Parameters
        ----------
        organism
            Has the slots to graft in its pool.
        hosts
            As `host` returns them.
        names
            Of the measures that are wanted, of those in `measures`; no others are computed.
        losses
            Whether the drops of the loss are wanted, which are most of the work, or the measures alone.
        """

    def guest_losses(self, organism: Any, host: Any) -> Tensor:
        """Return a host's loss of each of its examples with each living slot alone grafted, [n, P].

        It can be differentiated with respect to the stacks of the organism's pool.

        Parameters
        ----------
        organism
            Has the slots to graft in its pool.
        host
            As `host` returns it.
        """

    def host(self, organism: Any, inputs: Tensor, targets: Tensor) -> Any:
        """Freeze an organism into a host with cached activations and a field `losses` [P]: its own on the examples.

        Parameters
        ----------
        organism
            A trained organism, with the slots that a graft needs emptied.
        inputs, targets
            P examples.
        """

    def analytic_ranges(self) -> Mapping[str, tuple[float, float]]:
        """Return the ranges of the measures that follow from the task alone."""

    def cost(self, genes: Genes) -> tuple[float, float]:
        """Return counted FLOPs and bytes of one forward pass of a component, per example."""


# Names that every family must have.
CONTRACT = (
    *("family", "options", "genes", "measures", "ranks", "hidden_axes", "analytic_ranges", "cost"),
    *(
        "interface",
        "organism",
        "random_genome",
        "fitted",
        "aligned",
        "probe",
        "assay",
        "guest_losses",
        "host",
    ),
)
