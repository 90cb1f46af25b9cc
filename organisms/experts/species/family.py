"""The expert family: a mixture of experts whose experts are born and die.

The pool's slots are the experts of a layer and the combiner is its router, whose columns belong to the experts: a
birth adds an expert with its column, a death removes both. Between layers a frozen mixer, part of the interface,
lets tokens see one another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from organisms.experts.species import component
from organisms.experts.species.assay import Host, assay
from organisms.experts.species.cost import cost
from organisms.experts.species.organism import ExpertOrganism
from organisms.mixer import new_mixer
from organisms.nn import Interface, new_interface
from organisms.pool import Pool
from organisms.probe import look
from organisms.species import Probe
from organisms.task import Task
from qd.records import Genes, Genome

FAMILY = "experts"


@dataclass(frozen=True, slots=True)
class ExpertOptions:
    """Sizes of the family; the names are those of the `organism` section of a configuration."""

    dim: int = 64
    depth: int = 1
    capacity: int = 12
    max_rank: int = 16
    max_hidden: int = 32
    experts_per_token: int = 2
    balance: float = 0.01


class Experts:
    """Builds organisms of experts for a task; `options` has the fields of `ExpertOptions`."""

    family = FAMILY
    ranks: Mapping[str, str] = {"down": "rank", "up": "rank"}

    def __init__(self, task: Task, options: Any) -> None:
        self.task = task
        self.dim: int = options.dim
        self.depth: int = options.depth
        self.capacity: int = options.capacity
        self.k: int = options.experts_per_token
        self.balance: float = options.balance
        self.genes = component.genes(options.max_rank, options.max_hidden)
        self.layout = component.layout(self.dim, options.max_rank, options.max_hidden)

    def interface(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw an untrained interface, a mixer for each layer included."""
        return new_interface(self.task, self.dim, generator) | new_mixer(self.dim, self.depth, generator)

    def organism(self, interface: Interface) -> ExpertOrganism:
        """Build an organism with an empty pool, on the device of the interface."""
        device = next((tensor.device for tensor in interface.values()), None)
        pool = Pool(self.family, self.layout, self.depth, self.capacity, device)
        return ExpertOrganism(self.task, interface, pool, self.k, self.balance)

    def random_genome(self, depth: int, genes: Genes, generator: np.random.Generator) -> Genome:
        """Draw an untrained expert."""
        return component.random_expert(self.family, self.dim, depth, genes, generator)

    def fitted(self, genome: Genome, genes: Genes, generator: np.random.Generator) -> Genome:
        """Give an expert the hidden width that these genes say."""
        return component.with_hidden(genome, int(dict(genes)["hidden"]), generator)

    def aligned(self, genome: Genome, like: Genome) -> Genome:
        """Put the hidden numbers of an expert in the order in which they are nearest to another's."""
        return component.aligned(genome, like)

    def probe(self, organism: ExpertOrganism, inputs: Tensor, targets: Tensor) -> Probe:
        """Measure, gate off and differentiate every living slot."""
        return look(organism, inputs, targets)

    def assay(self, organism: ExpertOrganism, hosts: Sequence[Host]) -> Tensor:
        """Drop of the hosts' mean loss, for each living slot and probe example, float64 [n, P]."""
        return assay(organism, hosts)

    def host(self, organism: ExpertOrganism, inputs: Tensor, targets: Tensor) -> Host:
        """Freeze an organism into a reference host with cached activations."""
        return Host.freeze(organism, inputs, targets)

    def analytic_ranges(self) -> Mapping[str, tuple[float, float]]:
        """No measure has a range that follows from the task and is not far wider than what experts use."""
        return {}

    def cost(self, genes: Genes) -> tuple[float, float]:
        """FLOPs and bytes of one expert on one example, were all slots equally loaded."""
        even = self.task.length * min(self.k, self.capacity) / self.capacity
        return cost(self.task, self.dim, dict(genes), even)
