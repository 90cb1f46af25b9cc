"""Every fusion, small and in float64, and opinions for it."""

import torch
from torch import nn

from organisms.towers.fusion.builder import STRATEGIES, FusionBuilder

STRATEGY_NAMES = tuple(STRATEGIES)
CONVEX = ("adaptive", "binding", "cantor", "tree")


def opinions(count=3, *shape, width=6, seed=0):
    """As many opinions [*shape, width]; without a shape [5, width]."""
    source = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(*(shape or (5,)), width, generator=source, dtype=torch.float64) for _ in range(count)
    )


def fusion(strategy, count=3, width=6, **options):
    """A fusion whose every parameter has been moved, so that none is at a special value."""
    made = FusionBuilder("fusion", count, width).add(strategy, **options).build().double()
    return moved(made)


@torch.no_grad()
def moved(module: nn.Module, seed=7):
    source = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=source, dtype=torch.float64) / 3)
    return module
