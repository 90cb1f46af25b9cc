"""The transformer family: a component is a shard of a transformer's layer, one head with its share of the hidden units.

A layer of C shards is a transformer's layer whose attention and feed-forward network read the same norm and are added
side by side,

    x <- x + sum_c softmax(q_c k_c^T / sqrt(W)) v_c O_c + gelu(rms_norm(x) In) Out,

with the hidden units dealt to the shards; no bias, and no gain of the norm. That is the layer of GPT-J and PaLM (Wang &
Komatsuzaki 2021; Chowdhery et al. 2022, section 2), cut as Megatron cuts one for its devices (Shoeybi et al. 2019): the
sum of what the shards write is what the layer writes, so that removing a shard is exact. With a static pool it is the
baseline of experiments; births and deaths work as in any family.

Source: Vaswani et al. 2017, "Attention Is All You Need". Differs from the source: norms come first and have no gain,
attention and feed-forward network are parallel, and embeddings and readout are the run's shared interface.
"""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from organisms.nn import Interface
from organisms.options import FamilyOptions, Sizes
from organisms.pool import Dense, Factored, Pool
from organisms.residual import units
from organisms.residual.family import ResidualFamily
from organisms.residual.units import Axis
from organisms.task import Task
from organisms.transformer.species.cost import cost
from organisms.transformer.species.options import TransformerOptions
from organisms.transformer.species.organism import TransformerOrganism
from qd.genes import GeneRange
from qd.records import Genes, Genome

AXES = {"hidden": Axis(("hidden",), drawn=(("in", 1),), silent=(("out", 0),))}


class Transformer(ResidualFamily):
    """Builds transformers for a task."""

    family: ClassVar[str] = "transformer"
    options: ClassVar[type[FamilyOptions]] = TransformerOptions
    ranks: ClassVar[Mapping[str, str]] = {"qk": "width", "ov": "width"}
    outputs: ClassVar[Sequence[str]] = ("ov.V", "out")
    hidden_axes: Mapping[str, Sequence[tuple[str, int]]] = units.hidden_axes(AXES, ("in", "out"))

    def __init__(self, task: Task, sizes: Sizes, options: TransformerOptions) -> None:
        genes = {
            "hidden": GeneRange(options.min_hidden, options.max_hidden, integer=True, log=True),
            "width": GeneRange(options.min_width, options.max_width, integer=True),
        }
        layout = (
            Factored("qk", sizes.dim, sizes.dim, options.max_width, "width"),
            Factored("ov", sizes.dim, sizes.dim, options.max_width, "width"),
            Dense("in", ((sizes.dim, ()), (options.max_hidden, ("hidden",)))),
            Dense("out", ((options.max_hidden, ("hidden",)), (sizes.dim, ()))),
        )
        super().__init__(task, sizes, genes, layout)

    def around(self, interface: Interface, pool: Pool) -> TransformerOrganism:
        """Build a transformer of an interface and an empty pool."""
        return TransformerOrganism(self.task, interface, pool)

    def random_genome(self, depth: int, genes: Genes, generator: np.random.Generator) -> Genome:
        """Draw an untrained shard: entries of variance 1/D, in what it writes a quarter of that.

        Parameters
        ----------
        depth
            Layer that it is for.
        genes
            Its structural genes.
        generator
            Source of the draws.
        """
        width, hidden = (int(dict(genes)[name]) for name in ("width", "hidden"))
        shapes = {
            "qk.U": (self.dim, width),
            "qk.V": (width, self.dim),
            "ov.U": (self.dim, width),
            "ov.V": (width, self.dim),
            "in": (self.dim, hidden),
            "out": (hidden, self.dim),
        }
        arrays = {name: self._drawn(name, shape, generator) for name, shape in shapes.items()}
        return Genome(self.family, depth, genes, arrays)

    def fitted(self, genome: Genome, genes: Genes, generator: np.random.Generator) -> Genome:
        """Return a shard with as many hidden units as these genes say.

        Parameters
        ----------
        genome
            The shard; its own genes stay as they are.
        genes
            Structural genes to fit it to; `hidden` counts.
        generator
            Source of the incoming weights of new hidden units.
        """
        return units.fitted(genome, genes, AXES, lambda name, shape: self._drawn(name, shape, generator))

    def aligned(self, genome: Genome, like: Genome) -> Genome:
        """Permute the hidden units of a shard to match another's."""
        return units.aligned(genome, like, AXES)

    def cost(self, genes: Genes) -> tuple[float, float]:
        """Return FLOPs (a multiply-add is two) and bytes (float32, each operand once) of one shard on one example."""
        return cost(self.task, self.dim, dict(genes))

    def _drawn(self, name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        std = (0.5 if name in ("ov.V", "out") else 1.0) / math.sqrt(self.dim)
        return (generator.standard_normal(shape) * std).astype(np.float32)
