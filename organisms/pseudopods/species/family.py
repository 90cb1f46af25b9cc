"""The pseudopod family: which genes a head has, how it is drawn, stored and counted.

A pseudopod reads the residual stream h [S, D] through two low-rank circuits (Elhage et al. 2021):
``QK = U V`` says where it looks and ``OV = U V`` what it writes there,

    out = softmax(scale * (h U_qk)(h V_qk^T)^T + window mask) (h U_ov) V_ov,

with scale = temperature / sqrt(rank). The inner sizes are its structural genes `rank` and `width`, so the
factors are trained as factors and the archive's low-rank entry of them is exact.

Differs from the blueprint: it stores four matrices (W_q, W_k, W_v, W_o), each as two factors. A head's
function depends on the products W_q W_k^T and W_v W_o alone, so two factored matrices hold all of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from organisms.nn import Interface, new_interface
from organisms.pool import Factored, Pool
from organisms.probe import look
from organisms.pseudopods.species.assay import Host, assay
from organisms.pseudopods.species.cost import cost
from organisms.pseudopods.species.organism import PseudopodOrganism
from organisms.species import Probe
from organisms.task import Task
from qd.genes import GeneRange
from qd.records import Genes, Genome

FAMILY = "pseudopods"


@dataclass(frozen=True, slots=True)
class PseudopodOptions:
    """Sizes of the family; the names are those of the `organism` section of a configuration."""

    dim: int = 64
    depth: int = 1
    capacity: int = 12
    max_rank: int = 16
    max_width: int = 16
    max_window: int | None = None
    min_temperature: float = 0.5
    max_temperature: float = 2.0


class Pseudopods:
    """Builds pseudopod organisms for a task; `options` has the fields of `PseudopodOptions`."""

    family = FAMILY
    ranks: Mapping[str, str] = {"qk": "rank", "ov": "width"}

    def __init__(self, task: Task, options: Any) -> None:
        self.task = task
        self.dim: int = options.dim
        self.depth: int = options.depth
        self.capacity: int = options.capacity
        whole = math.floor(task.distances.max()) + 1  # the smallest window that hides nothing
        window = whole if options.max_window is None else min(options.max_window, whole)
        self.genes = {
            "rank": GeneRange(min(2, options.max_rank), options.max_rank, integer=True, log=False),
            "temperature": GeneRange(
                options.min_temperature, options.max_temperature, integer=False, log=True
            ),
            "width": GeneRange(min(4, options.max_width), options.max_width, integer=True, log=False),
            "window": GeneRange(min(2, window), window, integer=True, log=window > 8),
        }
        self.layout = (
            Factored("qk", self.dim, self.dim, options.max_rank, "rank"),
            Factored("ov", self.dim, self.dim, options.max_width, "width"),
        )

    def interface(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw an untrained interface."""
        return new_interface(self.task, self.dim, generator)

    def organism(self, interface: Interface) -> PseudopodOrganism:
        """Build an organism with an empty pool, on the device of the interface."""
        device = next((tensor.device for tensor in interface.values()), None)
        pool = Pool(self.family, self.layout, self.depth, self.capacity, device)
        return PseudopodOrganism(self.task, interface, pool)

    def random_genome(self, depth: int, genes: Genes, generator: np.random.Generator) -> Genome:
        """Draw an untrained head: entries of variance 1/D, half as large where it writes."""
        arrays = {}
        for matrix in self.layout:
            inner = int(dict(genes)[matrix.gene])
            for name, shape in (
                (f"{matrix.name}.U", (self.dim, inner)),
                (f"{matrix.name}.V", (inner, self.dim)),
            ):
                std = (0.5 if name == "ov.V" else 1.0) / math.sqrt(self.dim)
                arrays[name] = (generator.standard_normal(shape) * std).astype(np.float32)
        return Genome(self.family, depth, genes, arrays)

    def fitted(self, genome: Genome, genes: Genes, generator: np.random.Generator) -> Genome:
        """Give it back: no gene sets an outer size of its matrices."""
        return genome

    def aligned(self, genome: Genome, like: Genome) -> Genome:
        """Give the same: the products of a head have one form."""
        return genome

    def probe(self, organism: PseudopodOrganism, inputs: Tensor, targets: Tensor) -> Probe:
        """Measure, gate off and differentiate every living slot."""
        return look(organism, inputs, targets)

    def assay(self, organism: PseudopodOrganism, hosts: Sequence[Host]) -> Tensor:
        """Drop of the hosts' mean loss, for each living slot and probe example, float64 [n, P]."""
        return assay(organism, hosts)

    def host(self, organism: PseudopodOrganism, inputs: Tensor, targets: Tensor) -> Host:
        """Freeze an organism into a reference host with cached activations."""
        return Host.freeze(organism, inputs, targets)

    def analytic_ranges(self) -> Mapping[str, tuple[float, float]]:
        """No measure but the two shares of attention and activation is bounded by the task alone.

        Their bounds, 0 and 1, are far wider than what heads use, which would leave most cells out of
        reach; so ranges come from samples.
        """
        return {}

    def cost(self, genes: Genes) -> tuple[float, float]:
        """FLOPs (a multiply-add is two) and bytes (float32, each operand once) of one head on one example."""
        return cost(self.task, self.dim, dict(genes))
