"""The contract between the harness and a family of components, and the table of families.

The harness knows organisms by these protocols alone. A family of your own joins by its import path
(``organism.kind: package.module:Name``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from organisms.nn import Interface
from organisms.pool import Pool
from organisms.task import Task
from qd.genes import GeneSpace
from qd.records import Genes, Genome


class Component(Protocol):
    """A part as a value (`qd.records.Genome`): what the archive keeps and a pool can be given."""

    family: str
    depth: int
    genes: Genes
    arrays: Mapping[str, Any]


class Memory(Protocol):
    """Something that fades with time (`organisms.memory.Trace`)."""

    def store(self, data: float, weight: float) -> None:
        """Blend a new value in."""

    def recall(self) -> float | None:
        """Give what is remembered, or None before anything was stored."""

    def clear(self) -> None:
        """Forget everything."""


class Pseudopod(Protocol):
    """One attention component at work on a stimulus (`organisms.pseudopods.species.pseudopod.Pseudopod`)."""

    def correlation(self) -> Tensor:
        """Correlation between the features of its output."""

    def effective_rank(self) -> Tensor:
        """Number of directions that its output uses."""

    def coherence(self) -> Tensor:
        """Likeness of its attention pattern to its neighbours'."""


class Chemotaxis(Protocol):
    """Choice of where in behaviour space to look for a parent (`qd.chemotaxis.sample`)."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Give the elite to be born from, or None."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What one look at the probe split tells of every living slot (n of them, in slot order)."""

    slots: tuple[int, ...]
    measures: Tensor  # float64 [n, 5], raw, in the order of qd.measures.MEASURES
    gradients: Tensor  # float64 [n]: size of the gate gradient over examples (`organisms.probe.typical`)
    ablations: Tensor  # float64 [n]: rise of the probe loss when the slot alone is gated off, in nats
    loss: float  # of these examples, in nats
    # int64 [n, P]: how many tokens of each example it answers; None where components answer every token
    answered: Tensor | None = None


class Organism(Protocol):
    """A network of living parts: a shared, frozen interface around a stacked pool."""

    task: Task
    interface: Interface
    pool: Pool

    def __call__(self, inputs: Tensor, gates: Tensor | None = None) -> Tensor:
        """Give outputs; a gate of 0 makes a slot as good as empty, all are 1 where `gates` [N] is None."""

    def training_losses(self, inputs: Tensor, targets: Tensor, gates: Tensor | None = None) -> Tensor:
        """What training minimises the mean of, [B]: losses of the task, and of the family's own if it has any."""

    def stats(self) -> dict[str, float]:
        """Living slots and parameters."""


class Species(Protocol):
    """A family: how its organisms are built and its components drawn, stored and counted."""

    family: str
    depth: int
    capacity: int
    genes: GeneSpace
    ranks: Mapping[str, str]  # factored matrix -> the gene that sets its inner size

    def interface(self, generator: Any) -> Interface:
        """Draw the untrained interface that all organisms of a run will share."""

    def organism(self, interface: Interface) -> Organism:
        """Build an organism with an empty pool around an interface and on its device."""

    def random_genome(self, depth: int, genes: Genes, generator: Any) -> Genome:
        """Draw an untrained component with these genes."""

    def fitted(self, genome: Genome, genes: Genes, generator: Any) -> Genome:
        """Give a genome the outer sizes of matrices that these genes ask for; inner ones are those of `ranks`."""

    def aligned(self, genome: Genome, like: Genome) -> Genome:
        """Give a genome in that of its equivalent forms which is nearest to another of the same sizes."""

    def probe(self, organism: Any, inputs: Tensor, targets: Tensor) -> Probe:
        """Measure, gate off and differentiate every living slot."""

    def assay(self, organism: Any, hosts: Sequence[Any]) -> Tensor:
        """Drop of the hosts' mean loss, for each living slot and probe example, float64 [n, P]."""

    def host(self, organism: Any, inputs: Tensor, targets: Tensor) -> Any:
        """Freeze an organism into a reference host with cached activations."""

    def analytic_ranges(self) -> Mapping[str, tuple[float, float]]:
        """Ranges of the measures that follow from the task alone."""

    def cost(self, genes: Genes) -> tuple[float, float]:
        """Counted FLOPs and bytes of one forward pass of a component, per example."""
