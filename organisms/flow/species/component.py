"""One flow pattern as a component: its matrices and its genes, and how it is drawn.

A pattern reduces every token h [D] to what it looks for, z = h look, and to what it offers, o = h offer, R numbers
each. In each of its channels c, token t receives from the K tokens s of the highest scores in its window,

    score_cts = z_t match_c o_s - softplus(decay_c) log(1 + d(t, s))
    F_cts = 2 sigmoid(z_t intensity_c + level_c) softmax_s(score_cts over the K chosen s), else 0

with d the task's distance, and is given ``y_t = (sum_c sum_s F_cts o_s value_c) write``; ``h . route`` is its logit.
The genes are the rank R, channels, positions K and the window. All that it does to a token goes through R numbers, so
that its entry in the archive is low-rank as it is, without an error. Padding stays exactly zero while it trains.

Source: `organisms.flow.FlowLayer`, whose equation this is, with two differences. A pattern owns what the patterns of a
layer share there (look, offer, value and write), so that it means the same in any organism; and a token mixes the
flows of its patterns, not their scores, so that what each adds to a token is its own. Directions are known by the
positions in the stream, not by rotary angles, as a task's tokens may lie in a plane.
"""

import math
from collections.abc import Mapping

import numpy as np

from organisms.flow.species.options import FlowOptions
from organisms.pool import Dense, Layout, Vector
from organisms.residual.units import Axes, Axis
from organisms.task import Task
from qd.genes import GeneRange, GeneSpace
from qd.records import Genes, Genome

# In the order in which they are fitted.
AXES: Axes = {
    "looked": Axis(("rank",), (("look", 1),), (("match", 1), ("intensity", 1)), ends=(("look", 1),)),
    "offered": Axis(("rank",), (("offer", 1),), (("match", 2), ("value", 1)), ends=(("offer", 1),)),
    "written": Axis(("rank",), (("write", 0),), (("value", 2),), ends=(("write", 0),)),
    "channels": Axis(
        ("channels",),
        (("match", 0), ("decay", 0), ("intensity", 0), ("level", 0)),
        (("value", 0),),
    ),
}


def genes(task: Task, options: FlowOptions) -> GeneSpace:
    """Return the structural genes: channels, positions, rank and window."""
    whole = math.floor(task.distances.max()) + 1  # the smallest window that hides nothing
    window = whole if options.max_window is None else min(options.max_window, whole)
    return {
        "channels": GeneRange(1, options.max_channels, integer=True),
        "positions": GeneRange(1, min(options.max_positions, task.length), integer=True),
        "rank": GeneRange(min(2, options.max_rank), options.max_rank, integer=True),
        "window": GeneRange(min(2, window), window, integer=True, log=window > 8),
    }


def layout(dim: int, options: FlowOptions) -> Layout:
    """Return the arrays of a pattern of a network of width D, with their largest sizes."""
    outer, rank = (dim, ()), (options.max_rank, ("rank",))
    channels = (options.max_channels, ("channels",))
    return (
        Dense("decay", (channels,)),
        Dense("intensity", (channels, rank)),
        Dense("level", (channels,)),
        Dense("look", (outer, rank)),
        Dense("match", (channels, rank, rank)),
        Dense("offer", (outer, rank)),
        Vector("route", dim),
        Dense("value", (channels, rank, rank)),
        Dense("write", (rank, outer)),
    )


def drawn(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw an array of a pattern: logits, numbers and scores of variance 1, what is written of at most 1/4.

    Parameters
    ----------
    name, shape
        Of the array.
    rng
        Source of the draws.
    """
    normal = rng.standard_normal(shape)
    match name:
        case "decay":  # from hardly any to one that halves a weight at a distance of 1
            normal = 1.5 * normal - 1.0
        case "intensity":
            normal = 0.5 * normal / math.sqrt(shape[-1])
        case "level":
            normal = np.zeros(shape)
        case "match":
            normal = normal / shape[-1]
        case "write":
            normal = 0.5 * normal / math.sqrt(shape[0])
        case "value":
            normal = normal / math.sqrt(shape[-1])
        case _:  # what reads the stream
            normal = normal / math.sqrt(shape[0])
    return normal.astype(np.float32)


def random_pattern(family: str, arrays: Layout, depth: int, genes: Genes, rng: np.random.Generator) -> Genome:
    """Draw an untrained pattern.

    Parameters
    ----------
    family
        Name of the family, which the genome carries.
    arrays
        Which arrays there are.
    depth
        Layer that it is for.
    genes
        Its structural genes.
    rng
        Source of the draws.
    """
    shapes: Mapping[str, tuple[float, ...]] = {
        name: shape for part in arrays for name, shape in part.own(dict(genes)).items()
    }
    sizes = {name: tuple(int(size) for size in shape) for name, shape in sorted(shapes.items())}
    return Genome(family, depth, genes, {name: drawn(name, shape, rng) for name, shape in sizes.items()})
