"""Noise for the exploration of a router, from a generator that is given."""

import torch
from torch import Tensor


def gaussian(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers."""
    return torch.randn(shape, generator=generator, device=generator.device)


def gumbel(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Draw standard Gumbel numbers, -log(-log u): the largest of a row's sums names a softmax's draw."""
    draws = torch.empty(shape, device=generator.device).exponential_(generator=generator)
    return -draws.clamp(min=torch.finfo(draws.dtype).tiny).log()


NOISE = {"gaussian": gaussian, "gumbel": gumbel}
