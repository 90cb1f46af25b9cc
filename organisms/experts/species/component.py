"""One expert as a component: its matrices, its router column and its genes, drawn and fitted to other sizes.

An expert answers a token h [D] with ``down^T f(up^T h)``, where ``up = up.U up.V`` [D, hidden] and
``down = down.U down.V`` [hidden, D] are trained as factors of the gene `rank`, so that the archive's low-rank entry of
it is exact; ``h . route`` is its logit. Padding beyond the gene `hidden` stays exactly zero while it trains, because
f(0) = 0: a hidden unit whose outgoing weights are zero passes no gradient to its incoming ones, which are zero too.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from organisms.pool import Factored, Layout, Vector
from organisms.residual.activations import ACTIVATION_NAMES
from qd.genes import GeneRange, GeneSpace
from qd.records import Genes, Genome
from qd.variation import GROWTH


def layout(dim: int, max_rank: int, max_hidden: int) -> Layout:
    """Return the arrays of an expert with their largest sizes.

    Parameters
    ----------
    dim
        Width of the residual stream, D.
    max_rank
        Largest rank of both matrices.
    max_hidden
        Largest hidden width.
    """
    return (
        Factored("down", max_hidden, dim, max_rank, "rank", rows_gene="hidden"),
        Vector("route", dim),
        Factored("up", dim, max_hidden, max_rank, "rank", columns_gene="hidden"),
    )


def genes(max_rank: int, max_hidden: int) -> GeneSpace:
    """Return the structural genes; `hidden` is at least `max_rank`, so that a matrix can have any rank up to it."""
    return {
        "activation": GeneRange(0, len(ACTIVATION_NAMES) - 1, integer=True),
        "hidden": GeneRange(max_rank, max_hidden, integer=True, log=True),
        "rank": GeneRange(min(2, max_rank), max_rank, integer=True),
    }


def random_expert(family: str, dim: int, depth: int, genes: Genes, rng: np.random.Generator) -> Genome:
    """Draw an untrained expert: logits and hidden units of variance 1 for h of variance 1, outputs of 1/4.

    Parameters
    ----------
    family
        Name of the family, which the genome carries.
    dim
        Width of the residual stream, D.
    depth
        Layer that the expert is for.
    genes
        Its structural genes.
    rng
        Source of the draws.
    """
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

    To narrow it, the hidden units j of the largest norm product ``|up_j| |down_j|`` are kept, in their order. To widen
    it, units are added with small random incoming weights and outgoing weights of zero, which leaves its outputs as
    they are and lets gradients reach the new outgoing weights.

    Parameters
    ----------
    genome
        The expert.
    hidden
        Its new number of hidden units.
    rng
        Source of the new incoming weights.
    """
    arrays = dict(genome.arrays)
    incoming, outgoing = arrays["up.V"], arrays["down.U"]
    extra = hidden - incoming.shape[1]
    if extra > 0:
        spread = GROWTH * float(np.sqrt(np.mean(np.square(incoming, dtype=np.float64))))
        grown = (spread * rng.standard_normal((len(incoming), extra))).astype(np.float32)
        arrays["up.V"] = np.hstack([incoming, grown])
        arrays["down.U"] = np.vstack([outgoing, np.zeros((extra, outgoing.shape[1]), np.float32)])
    elif extra < 0:
        up_norms = np.linalg.norm(_product(arrays, "up"), axis=0)
        down_norms = np.linalg.norm(_product(arrays, "down"), axis=1)
        kept = np.sort(np.argsort(-(up_norms * down_norms), kind="stable")[:hidden])
        arrays["up.V"], arrays["down.U"] = incoming[:, kept], outgoing[kept]
    return replace(genome, arrays=arrays)


def aligned(genome: Genome, like: Genome) -> Genome:
    """Permute the hidden units to match those of another expert of the same hidden width.

    Their order changes no output, but only matched experts have a point on the line between them that is near both.
    The permutation is that of the least sum of squared differences, as in weight matching (Ainsworth et al. 2023, Git
    Re-Basin).
    """
    similarity = sum(
        weights(genome) @ weights(like).T
        for weights in (lambda one: _product(one.arrays, "up").T, lambda one: _product(one.arrays, "down"))
    )
    own, places = linear_sum_assignment(similarity, maximize=True)
    order = own[np.argsort(places)]
    arrays = dict(genome.arrays)
    arrays["up.V"], arrays["down.U"] = arrays["up.V"][:, order], arrays["down.U"][order]
    return replace(genome, arrays=arrays)


def _product(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return arrays[f"{name}.U"].astype(np.float64) @ arrays[f"{name}.V"].astype(np.float64)
