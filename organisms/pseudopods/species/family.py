"""The pseudopod family: which genes a head has, how it is drawn, stored and counted.

A pseudopod reads the residual stream h [S, D] through two low-rank circuits (Elhage et al. 2021):
``QK = U V`` says where it looks and ``OV = U V`` what it writes there,

    out = softmax(scale * (h U_qk)(h V_qk^T)^T + window mask) (h U_ov) V_ov,

with scale = temperature / sqrt(rank). The inner sizes are its structural genes `rank` and `width`, so the
factors are trained as factors and the archive's low-rank entry of them is exact. With a memory, the heads of a layer
also attend to tubes of what a stream has left behind (`remembered`, `recalling`).

Differs from the blueprint: it stores four matrices (W_q, W_k, W_v, W_o), each as two factors. A head's
function depends on the products W_q W_k^T and W_v W_o alone, so two factored matrices hold all of it.
"""

import math
import pkgutil
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from kernels.kernel import Kernel
from kernels.own_kernel import kernel_of
from organisms.nn import Interface
from organisms.options import FamilyOptions, Sizes, UnusableOption
from organisms.pool import Factored, Pool
from organisms.pseudopods.species.cost import cost
from organisms.pseudopods.species.options import PseudopodOptions
from organisms.pseudopods.species.organism import PseudopodOrganism
from organisms.residual.family import ResidualFamily
from organisms.task import Task
from qd.genes import GeneRange
from qd.records import Genes, Genome


class Pseudopods(ResidualFamily):
    """Builds pseudopod organisms for a task."""

    family: ClassVar[str] = "pseudopods"
    options: ClassVar[type[FamilyOptions]] = PseudopodOptions
    ranks: ClassVar[Mapping[str, str]] = {"qk": "rank", "ov": "width"}
    outputs: ClassVar[Sequence[str]] = ("ov.V",)
    hidden_axes: Mapping[
        str, Sequence[tuple[str, int]]
    ] = {}  # a line between two heads is one between their products, which have no interchangeable units

    def __init__(self, task: Task, sizes: Sizes, options: PseudopodOptions) -> None:
        whole = math.floor(task.reach) + 1  # the smallest window that hides nothing
        window = whole if options.max_window is None else min(options.max_window, whole)
        genes = {
            "rank": GeneRange(min(2, options.max_rank), options.max_rank, integer=True, log=False),
            "temperature": GeneRange(
                options.min_temperature, options.max_temperature, integer=False, log=True
            ),
            "width": GeneRange(min(4, options.max_width), options.max_width, integer=True, log=False),
            "window": GeneRange(min(2, window), window, integer=True, log=window > 8),
        }
        layout = (
            Factored("qk", sizes.dim, sizes.dim, options.max_rank, "rank"),
            Factored("ov", sizes.dim, sizes.dim, options.max_width, "width"),
        )
        self.compact = options.compact
        super().__init__(task, sizes, genes, layout)
        self.memory = options.rules
        self.kernel = _kernel(options.kernel)

    def interface(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw an untrained interface; with a memory, ``store`` [L, dim] says what its layers keep (`remembered`)."""
        drawn = super().interface(generator)
        if self.memory is not None:
            drawn["store"] = torch.zeros(self.depth, self.dim)
        return drawn

    def around(self, interface: Interface, pool: Pool) -> PseudopodOrganism:
        """Build an organism of an interface and an empty pool."""
        return PseudopodOrganism(self.task, interface, pool, self.memory, self.kernel, self.compact)

    def random_genome(self, depth: int, genes: Genes, generator: np.random.Generator) -> Genome:
        """Draw an untrained head: entries of variance 1/D, in the output factor ``ov.V`` half as large.

        Parameters
        ----------
        depth
            Layer that it is for.
        genes
            Its structural genes.
        generator
            Source of the draws.
        """
        arrays = {}
        for matrix, gene in self.ranks.items():
            inner = int(dict(genes)[gene])
            for name, shape in ((f"{matrix}.U", (self.dim, inner)), (f"{matrix}.V", (inner, self.dim))):
                std = (0.5 if name == "ov.V" else 1.0) / math.sqrt(self.dim)
                arrays[name] = (generator.standard_normal(shape) * std).astype(np.float32)
        return Genome(self.family, depth, genes, arrays)

    def fitted(self, genome: Genome, genes: Genes, generator: np.random.Generator) -> Genome:
        """Return the genome as it is: no gene sets an outer size of its matrices.

        Parameters
        ----------
        genome
            The head.
        genes, generator
            Not used.
        """
        return genome

    def aligned(self, genome: Genome, like: Genome) -> Genome:
        """Return the genome as it is: the products of a head have no interchangeable units."""
        return genome

    def cost(self, genes: Genes) -> tuple[float, float]:
        """Return FLOPs (a multiply-add is two) and bytes (float32, each operand once) of one head on one example."""
        return cost(self.task, self.dim, dict(genes), 0 if self.memory is None else self.memory.capacity)


def _kernel(name: str) -> Kernel:
    """Return the kernel that the options name: a path of ours, or by import path an object, or a class to be called."""
    if ":" not in name:
        return kernel_of(name)
    try:
        found = pkgutil.resolve_name(name)
        return kernel_of(found() if isinstance(found, type) else found, name)
    except Exception as error:  # whatever a user's code raises
        raise UnusableOption("kernel", f"is {name!r}, which cannot be used: {error}") from error
