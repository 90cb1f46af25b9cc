"""One tower as a component: its stages and its genes, and how it is drawn.

A tower reads a token h [D] into a stream of its own, W wide, and gives an opinion after its stages:

    u = h read;  u <- u + attention(norm(u));  u <- u + f(norm(u) up_k) down_k for each stage k;  norm(u) write

With ``norm(u) = u / sqrt(|u|^2 / 16 + 1e-6)``, whatever the gene `width` says: so a unit that hears nothing changes
nothing. The gene bounds the rank of what the tower reads and of what it writes, so that its entry in the archive is
low-rank as it is, without an error. Padding stays exactly zero while it trains: a unit without incoming weights passes
nothing on, as f(0) = 0, and one without outgoing weights gets no gradient.

Where towers hear messages (option `messages`), each has an address on a sphere, and what its nearest neighbours say by
themselves is added to h, times a number `listen` of its own (`organisms.towers.species.stack.Stack.heard`). An address
belongs to the genome, learns and varies with it. Differs from a place in behaviour space: that is measured after a
round, and a newborn or a guest has to be somewhere before.

Source: the documents' tower, residual feed-forward blocks and a norm at the end. Differs from it: a tower's stream is
narrower than the network's, and it may attend before its blocks.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from organisms.layers.norms import EPSILON
from organisms.pool import Dense, Layout, Vector
from organisms.residual.activations import ACTIVATION_NAMES
from organisms.residual.units import Axes, Axis
from organisms.towers.species.options import TowerOptions
from qd.genes import GeneRange, GeneSpace
from qd.records import Genes, Genome

ATTENTION = ("k", "o", "q", "v")  # arrays of an attention stage
UNITS = 16  # the squared norm of a normed stream
ADDRESS = 5  # coordinates of an address, whose direction is a point of the sphere

# In the order in which they are fitted.
AXES: Axes = {
    "stages": Axis(("stages",), (("up", 0),), (("down", 0),), free=False),
    "attention": Axis(("attention",), (("q", 0), ("k", 0), ("v", 0)), (("o", 0),), free=False),
    "width": Axis(
        ("width",),
        (("write", 0), ("score", 0), ("up", 1), ("q", 1), ("k", 1), ("v", 1)),
        (("read", 1), ("down", 2), ("o", 2)),
        ends=(("write", 0), ("read", 1)),
    ),
    "key": Axis(("width",), (("q", 2),), (("k", 2),)),
    "value": Axis(("width",), (("v", 2),), (("o", 1),)),
    "hidden": Axis(("expansion", "width"), (("up", 2),), (("down", 1),), stagewise=True),
}


def genes(options: TowerOptions) -> GeneSpace:
    """Return the structural genes: activation, attention stages, expansion, feed-forward stages and width."""
    return {
        "activation": GeneRange(0, len(ACTIVATION_NAMES) - 1, integer=True),
        "attention": GeneRange(0, int(options.attention), integer=True),
        "expansion": GeneRange(1, options.max_expansion, integer=True),
        "stages": GeneRange(1, options.max_stages, integer=True),
        "width": GeneRange(min(4, options.max_width), options.max_width, integer=True),
    }


def layout(dim: int, options: TowerOptions) -> Layout:
    """Return the arrays of a tower of a network of width D, with their largest sizes."""
    outer, width = (dim, ()), (options.max_width, ("width",))
    hidden = (options.max_expansion * options.max_width, ("expansion", "width"))
    stages, attention = (options.max_stages, ("stages",)), (1, ("attention",))
    attending = [Dense(name, (attention, width, width)) for name in ATTENTION] if options.attention else []
    fused = [Dense("score", (width,))] if options.scored else []
    hearing = [Vector("address", ADDRESS), Vector("listen", 1)] if options.messages else []
    return (
        *hearing[:1],
        Dense("down", (stages, hidden, width)),
        *attending,
        *hearing[1:],
        Dense("read", (outer, width)),
        *fused,
        Dense("up", (stages, width, hidden)),
        Dense("write", (width, outer)),
    )


def norm(u: Float[Tensor, "*batch W"]) -> Float[Tensor, "*batch W"]:
    """u / sqrt(|u|^2 / 16 + 1e-6): the root mean square norm of 16 units, however many there are."""
    return u * torch.rsqrt((u * u).sum(-1, keepdim=True) / UNITS + EPSILON)


def drawn(name: str, shape: tuple[int, ...], dim: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an array of a tower: units, logits and hidden units of variance 1, what is written of 1/4.

    Parameters
    ----------
    name, shape
        Of the array.
    dim
        Width of the residual stream, D.
    rng
        Source of the draws.
    """
    if name == "address":
        return rng.standard_normal(shape).astype(np.float32)
    gain = 0.5 if name in ("down", "o", "write") else 1.0
    fan_in = dim if name == "read" else UNITS
    return (rng.standard_normal(shape) * (gain / math.sqrt(fan_in))).astype(np.float32)


def random_tower(
    family: str, dim: int, options: TowerOptions, depth: int, genes: Genes, rng: np.random.Generator
) -> Genome:
    """Draw an untrained tower.

    Parameters
    ----------
    family
        Name of the family, which the genome carries.
    dim
        Width of the residual stream, D.
    options
        Say which arrays there are.
    depth
        Layer that it is for.
    genes
        Its structural genes.
    rng
        Source of the draws.
    """
    shapes = {name: shape for part in layout(dim, options) for name, shape in part.own(dict(genes)).items()}
    arrays = {
        name: drawn(name, tuple(int(size) for size in shape), dim, rng)
        for name, shape in sorted(shapes.items())
    }
    return Genome(family, depth, genes, arrays)
