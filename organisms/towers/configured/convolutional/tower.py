"""A tower of convolutions, made of a configuration."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from kernels import arguments
from organisms.towers.component import TorchComponent
from organisms.towers.configured.convolutional.blocks import (
    ChannelMixerBlock,
    ConvBlock,
    MultiScaleConvBlock,
)
from organisms.towers.configured.convolutional.config import ConvTowerConfig
from organisms.towers.configured.convolutional.flexible_input import FlexibleInputComponent
from organisms.towers.configured.convolutional.opinion import SpatialToOpinionComponent
from organisms.towers.tower import BaseTower


class ConfigurableConvTower(BaseTower):
    """A map of an image or a sequence, blocks over it, whose output is cached as features, and one opinion of it.

    Parameters
    ----------
    name
        What people call it.
    config
        Its channels, blocks, and what it reads and gives.
    strict
        As `BaseRouter` takes it.
    seed
        With names, what uuids and parameters are drawn from; None: uuids of their own, and the parameters of seed 0.

    Raises
    ------
    ValueError
        If the configuration is of another kind.
    """

    def __init__(
        self, name: str, config: ConvTowerConfig, *, strict: bool = True, seed: int | None = None
    ) -> None:
        arguments.instance(f"config of tower {name!r}", config, ConvTowerConfig)
        super().__init__(name, strict=strict, seed=seed)
        self.attach("config", config)
        self.attach("input", _input(name, config, seed))
        self.extend(_blocks(name, config, seed))
        self.attach("opinion", _opinion(name, config, seed))

    def forward(self, x: Any) -> Any:
        """Return the opinion on x, [B, out_features]; the features [B, C, H, W] are cached for a collective."""
        features = super().forward(self["input"](x))
        self.cache_set("features", features)
        return self["opinion"](features)

    @property
    def cached_features(self) -> Tensor | None:
        """What the last forward pass made its opinion of; None once the cache is cleared."""
        return self.cache_get("features")


def _input(name: str, config: ConvTowerConfig, seed: int | None) -> FlexibleInputComponent:
    return FlexibleInputComponent(
        f"{name}_input", config.in_channels, config.channels, config.input_mode, seed=seed
    )


def _blocks(name: str, config: ConvTowerConfig, seed: int | None) -> Iterator[TorchComponent]:
    block = MultiScaleConvBlock if config.use_multiscale else ConvBlock
    for i in range(config.depth):
        yield block(
            f"{name}_block_{i}", config.channels, config.kernel_size, dropout=config.dropout, seed=seed
        )
        if config.use_channel_mixer:
            yield ChannelMixerBlock(f"{name}_mixer_{i}", config.channels, dropout=config.dropout, seed=seed)


def _opinion(name: str, config: ConvTowerConfig, seed: int | None) -> SpatialToOpinionComponent:
    return SpatialToOpinionComponent(
        f"{name}_opinion", config.channels, config.out_features, config.pool_mode, seed=seed
    )
