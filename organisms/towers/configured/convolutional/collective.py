"""Collectives of towers of convolutions."""

from typing import Any, ClassVar

from organisms.towers.configured.collective import ConfigurableCollective
from organisms.towers.configured.convolutional.config import ConvTowerConfig
from organisms.towers.configured.convolutional.tower import ConfigurableConvTower


class ConvTowerCollective(ConfigurableCollective):
    """A wide router with a `ConfigurableConvTower` for each configuration, and a fusion of their opinions [B, E].

    Its arguments are those of `ConfigurableCollective`.
    """

    config_type: ClassVar[type] = ConvTowerConfig
    tower_type: ClassVar[Any] = ConfigurableConvTower
