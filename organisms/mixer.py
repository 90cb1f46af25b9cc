"""The mixer of an interface: one attention layer before the components of each layer, shared and frozen.

Token-wise components (experts, towers) see one token at a time. The attention that lets their network see a sequence
is part of the interface, as the stem is, so that a component means the same in every organism of a run.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.attention import attention
from organisms.layers.norms import rms_norm
from organisms.nn import Interface
from organisms.task import Task

HEAD = 16  # a head is at least this wide, or as wide as the stream


def new_mixer(dim: int, depth: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw an untrained mixer: queries, keys and values [depth, D, D] of variance 1/D, outputs a quarter of it.

    Parameters
    ----------
    dim
        Width of the residual stream, D.
    depth
        Layers.
    generator
        Source of the draws.
    """

    def normal(std: float) -> Tensor:
        return torch.randn(depth, dim, dim, generator=generator) * (std / math.sqrt(dim))

    return {"mixer.q": normal(1.0), "mixer.k": normal(1.0), "mixer.v": normal(1.0), "mixer.o": normal(0.5)}


def mixed_tokens(
    task: Task, interface: Interface, layer: int, x: Float[Tensor, "B S D"]
) -> Float[Tensor, "B S D"]:
    """Return ``x + attention(rms_norm(x))``, or x itself where the interface has no mixer.

    Parameters
    ----------
    task
        Attention is causal if it is.
    interface
        Holds the mixer of every layer, or none.
    layer
        Number of the layer, from 0.
    x
        The residual stream before the layer.
    """
    if "mixer.q" not in interface:
        return x
    width, h = x.shape[-1], rms_norm(x)
    heads = next(n for n in range(max(1, width // HEAD), 0, -1) if width % n == 0)
    q, k, v = (
        (h @ interface[f"mixer.{name}"][layer]).unflatten(-1, (heads, -1)).transpose(1, 2) for name in "qkv"
    )
    found = attention(q, k, v, causal=task.causal).output
    return x + found.transpose(1, 2).flatten(2) @ interface["mixer.o"][layer]
