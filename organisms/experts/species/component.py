"""One expert as a component: its matrices, its router column and its genes, drawn and fitted to other sizes.

An expert answers a token h [D] with ``down^T f(up^T h)``, where ``up = up.U up.V`` [D, hidden] and
``down = down.U down.V`` [hidden, D] are trained as factors of the gene `rank`, so that the archive's low-rank entry of
it is exact; ``h . route`` is its logit. Padding beyond the gene `hidden` stays exactly zero while it trains, because
f(0) = 0: a hidden number without weights going out gets no gradient coming in.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from organisms.layers.activations import ACTIVATIONS
from organisms.pool import Factored, Layout, Vector
from qd.genes import GeneRange, GeneSpace
from qd.records import Genes, Genome
from qd.variation import GROWTH

ACTIVATION_NAMES = ("gelu", "relu", "silu")  # what the gene `activation` counts; f(0) = 0 for each
GENE_ACTIVATIONS = tuple(ACTIVATIONS[kind] for kind in ACTIVATION_NAMES)


def layout(dim: int, max_rank: int, max_hidden: int) -> Layout:
    """Name the arrays of an expert and their largest sizes."""
    return (
        Factored("down", max_hidden, dim, max_rank, "rank", rows_gene="hidden"),
        Vector("route", dim),
        Factored("up", dim, max_hidden, max_rank, "rank", columns_gene="hidden"),
    )


def genes(max_rank: int, max_hidden: int) -> GeneSpace:
    """Name the structural genes; `hidden` is never under the largest rank, which hence is possible."""
    return {
        "activation": GeneRange(0, len(ACTIVATION_NAMES) - 1, integer=True),
        "hidden": GeneRange(max_rank, max_hidden, integer=True, log=True),
        "rank": GeneRange(min(2, max_rank), max_rank, integer=True),
    }


def random_expert(family: str, dim: int, depth: int, genes: Genes, rng: np.random.Generator) -> Genome:
    """Draw an untrained expert: logits and hidden units of variance 1 for h of variance 1, outputs of 1/4."""
    values = dict(genes)
    rank, hidden = int(values["rank"]), int(values["hidden"])

    def normal(*shape: int, fan_in: int, gain: float = 1.0) -> np.ndarray:
        return (rng.standard_normal(shape) * (gain / math.sqrt(fan_in))).astype(np.float32)

    arrays = {
        "down.U": normal(hidden, rank, fan_in=hidden),
        "down.V": normal(rank, dim, fan_in=rank, gain=0.5),
        "route": normal(dim, fan_in=dim),
        "up.U": normal(dim, rank, fan_in=dim),
        "up.V": normal(rank, hidden, fan_in=rank),
    }
    return Genome(family, depth, genes, arrays)


def with_hidden(genome: Genome, hidden: int, rng: np.random.Generator) -> Genome:
    """Return an expert with another hidden width.

    Of a narrower one the numbers stay whose way through matters most, by ``|up_j| |down_j|``, in their order; a
    wider one gets small random ways in and none out, which leaves its answers as they are and lets gradients in.
    """
    arrays = dict(genome.arrays)
    into, out_of = arrays["up.V"], arrays["down.U"]
    extra = hidden - into.shape[1]
    if extra > 0:
        spread = GROWTH * float(np.sqrt(np.mean(np.square(into, dtype=np.float64))))
        grown = (spread * rng.standard_normal((len(into), extra))).astype(np.float32)
        arrays["up.V"] = np.hstack([into, grown])
        arrays["down.U"] = np.vstack([out_of, np.zeros((extra, out_of.shape[1]), np.float32)])
    elif extra < 0:
        ways = np.linalg.norm(_product(arrays, "up"), axis=0) * np.linalg.norm(
            _product(arrays, "down"), axis=1
        )
        kept = np.sort(np.argsort(-ways, kind="stable")[:hidden])
        arrays["up.V"], arrays["down.U"] = into[:, kept], out_of[kept]
    return replace(genome, arrays=arrays)


def aligned(genome: Genome, like: Genome) -> Genome:
    """Permute the hidden units to those of another expert.

    The order changes no answer, but a point on the line between two experts is only then near both. Of equal hidden
    widths; the nearest in the sum of squares, as in weight matching (Ainsworth et al. 2023, Git Re-Basin).
    """
    likeness = sum(
        ways(genome) @ ways(like).T
        for ways in (lambda one: _product(one.arrays, "up").T, lambda one: _product(one.arrays, "down"))
    )
    own, places = linear_sum_assignment(likeness, maximize=True)
    order = own[np.argsort(places)]
    arrays = dict(genome.arrays)
    arrays["up.V"], arrays["down.U"] = arrays["up.V"][:, order], arrays["down.U"][order]
    return replace(genome, arrays=arrays)


def _product(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return arrays[f"{name}.U"].astype(np.float64) @ arrays[f"{name}.V"].astype(np.float64)
