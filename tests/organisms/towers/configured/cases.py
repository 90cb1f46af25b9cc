"""Every component of configured towers, small and in float64, with an input for each."""

import torch

from organisms.towers import (
    ChannelMixerBlock,
    FlexibleInputComponent,
    LinearProjection,
    MultiScaleConvBlock,
    SlotProjection,
    SpatialToOpinionComponent,
    TowerConfig,
)
from organisms.towers.configured.convolutional.blocks import ConvBlock
from organisms.towers.configured.stages import AttentionStage, FeedForwardStage

TOKENS, IMAGE = (2, 5, 4), (2, 4, 3, 5)  # [B, L, D] and [B, C, H, W]
COMPONENTS = {
    "linear": (lambda **seed: LinearProjection("one", 4, 3, **seed), TOKENS),
    "slots": (lambda **seed: SlotProjection("one", 4, 3, 2, **seed), TOKENS),
    **{
        name: (
            lambda name=name, **seed: FeedForwardStage("one", TowerConfig(dim=4, activation=name), **seed),
            TOKENS,
        )
        for name in ("gelu", "swiglu")
    },
    "attention": (lambda **seed: AttentionStage("one", TowerConfig(dim=4, num_heads=2), **seed), TOKENS),
    "image": (lambda **seed: FlexibleInputComponent("one", 4, 3, **seed), IMAGE),
    "sequence": (lambda **seed: FlexibleInputComponent("one", 4, 3, **seed), TOKENS),
    "conv": (lambda **seed: ConvBlock("one", 4, **seed), IMAGE),
    "multiscale": (lambda **seed: MultiScaleConvBlock("one", 4, **seed), IMAGE),
    "mixer": (lambda **seed: ChannelMixerBlock("one", 4, **seed), IMAGE),
    **{
        f"pool {mode}": (
            lambda mode=mode, **seed: SpatialToOpinionComponent("one", 4, 3, mode, **seed),
            IMAGE,
        )
        for mode in ("adaptive", "attention", "multiscale")
    },
}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
