"""A head as a value: read from its slot, written into one, and cleared from it.

A head's two products are held as factors, with its biases as a last row of the first factor of each:
``qk = [U; u] V^T`` and ``ov = [A; a] O``. So biases are varied and resized with the products that they belong to.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from organisms.pseudopods.evolution.constants import Sizes
from organisms.pseudopods.heads import PseudopodAttention
from qd import variation
from qd.genes import random_genes
from qd.records import Birth, Genes, Genome

FAMILY = "pseudopods"
RANKS: Mapping[str, str] = {"qk": "rank", "ov": "width"}  # the gene that sets a matrix's inner size
FACTORS: Mapping[str, tuple[str, str | None]] = {  # the parameters that a factor lies in
    "qk.U": ("query", "query_bias"),
    "qk.V": ("key", None),
    "ov.U": ("value", "value_bias"),
    "ov.V": ("output", None),
}


def genes(heads: PseudopodAttention, slot: int) -> Genes:
    """Return the structural genes of a slot; zeros where it is empty."""
    return (("rank", float(heads.ranks[slot])), ("width", float(heads.widths[slot])))


def read(heads: PseudopodAttention, slot: int, depth: int) -> Genome:
    """Return the head of a slot as a value: NumPy arrays of its own.

    Parameters
    ----------
    heads
        Of a layer.
    slot
        One that lives.
    depth
        Number of the layer.
    """
    own = genes(heads, slot)
    arrays = {}
    for name, (factor, bias) in FACTORS.items():
        inner = int(dict(own)[RANKS[name[:2]]])
        rows = getattr(heads, factor).detach()[slot, :inner].T
        added = None if bias is None else getattr(heads, bias)
        if added is not None:
            rows = torch.cat([rows, added.detach()[None, slot, :inner]])
        rows = rows if name.endswith(".U") else rows.T
        arrays[name] = np.array(rows.float().cpu().numpy(), order="C")
    return Genome(FAMILY, depth, own, arrays)


@torch.no_grad()
def write(heads: PseudopodAttention, slot: int, genome: Genome) -> None:
    """Write a head into an empty slot, in place.

    Parameters
    ----------
    heads
        Of a layer.
    slot
        One that is empty.
    genome
        That fits its room.
    """
    values = dict(genome.genes)
    for name, (factor, bias) in FACTORS.items():
        inner, array = int(values[RANKS[name[:2]]]), genome.arrays[name]
        rows = torch.from_numpy(np.ascontiguousarray(array.T if name.endswith(".U") else array))
        parameter = getattr(heads, factor)
        parameter[slot, :inner] = rows[:, : parameter.shape[2]].to(parameter)
        added = None if bias is None else getattr(heads, bias)
        if added is not None:
            added[slot, :inner] = rows[:, -1].to(added)
    heads.ranks[slot], heads.widths[slot] = int(values["rank"]), int(values["width"])


@torch.no_grad()
def clear(heads: PseudopodAttention, slot: int) -> None:
    """Fill a slot with zeros, in place: it is empty then, and stays so."""
    for _, parameter in slotted(heads):
        parameter[slot] = 0
    heads.ranks[slot] = heads.widths[slot] = 0


@torch.no_grad()
def forget(heads: PseudopodAttention, slot: int, optimizer: torch.optim.Optimizer) -> None:
    """Fill with zeros what gradients and optimizer know of a slot; counts of steps, which all slots share, stay.

    Whatever the optimizer keeps in the shape of a parameter, or of sums over its other axes, has the slots first.

    Parameters
    ----------
    heads
        Of a layer.
    slot
        One whose head died or is born.
    optimizer
        That trains them.
    """
    for _, parameter in slotted(heads):
        kept = optimizer.state[parameter].values() if parameter in optimizer.state else ()
        for value in (parameter.grad, *kept):
            if isinstance(value, Tensor) and value.ndim == parameter.ndim and len(value) == len(parameter):
                value[slot] = 0


def slotted(heads: PseudopodAttention) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters of which each slot has a part, with their names."""
    names = [name for pair in FACTORS.values() for name in pair if name is not None]
    return [(name, getattr(heads, name)) for name in names if getattr(heads, name) is not None]


def newborn(
    birth: Birth,
    genome_of: Callable[[str], Genome],
    sizes: Sizes,
    line_sigma: float,
    gene_rate: float,
    rng: np.random.Generator,
) -> Genome:
    """Return what is born: a random head, one elite with noise, or a step from one to another, as in the harness.

    Parameters
    ----------
    birth
        As it was decided.
    genome_of
        Gives the genome of a name.
    sizes
        Of the encoder.
    line_sigma, gene_rate
        As `qd.variation.line` takes them.
    rng
        A named stream.
    """
    if birth.operator == "random":
        return random_genome(birth.slot // sizes.slots, random_genes(sizes.genes, rng), sizes, rng)
    parents = [genome_of(name) for name in birth.genomes]
    if birth.operator == "line":
        return variation.line(
            parents[0], parents[1], birth.sigma, line_sigma, gene_rate, sizes.genes, rng, RANKS
        )

    def resized(genome: Genome, own: Genes) -> Genome:
        return variation.resize(genome, own, RANKS, rng)

    return variation.gaussian(parents[0], birth.sigma, gene_rate, sizes.genes, resized, rng)


def random_genome(depth: int, own: Genes, sizes: Sizes, rng: np.random.Generator) -> Genome:
    """Return an untrained head: entries of variance 1/D, in what it writes half as large, and biases of zero.

    Parameters
    ----------
    depth
        Layer that it is for.
    own
        Its structural genes.
    sizes
        Of the encoder.
    rng
        A named stream.
    """
    arrays = {}
    for name in sorted(FACTORS):
        std = (0.5 if name == "ov.V" else 1.0) / math.sqrt(sizes.width)
        drawn = std * rng.standard_normal((sizes.width, int(dict(own)[RANKS[name[:2]]])))
        if sizes.bias and name.endswith(".U"):
            drawn = np.vstack([drawn, np.zeros((1, drawn.shape[1]))])
        arrays[name] = (drawn if name.endswith(".U") else drawn.T).astype(np.float32)
    return Genome(FAMILY, depth, own, arrays)
