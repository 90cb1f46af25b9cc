"""A tower over tokens, made of a configuration."""

from typing import Any

from torch import Tensor, nn

from kernels import arguments
from organisms.towers.configured.config import TowerConfig
from organisms.towers.configured.projection import LinearProjection
from organisms.towers.configured.stages import AttentionStage, FeedForwardStage
from organisms.towers.tower import BaseTower


class ConfigurableTower(BaseTower):
    """Stages over tokens [..., L, D], a final norm, whose output is cached as features, and the opinion made of it.

    Parameters
    ----------
    name
        What people call it.
    config
        Its stages and widths.
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
        self, name: str, config: TowerConfig, *, strict: bool = True, seed: int | None = None
    ) -> None:
        arguments.instance(f"config of tower {name!r}", config, TowerConfig)
        super().__init__(name, strict=strict, seed=seed)
        for i in range(config.depth):
            if config.num_heads:
                self.append(AttentionStage(f"{name}_attention_{i}", config, seed=seed))
            self.append(FeedForwardStage(f"{name}_feed_forward_{i}", config, seed=seed))
        self.attach("config", config)
        self.attach("norm", nn.LayerNorm(config.dim))
        projection = LinearProjection(f"{name}_output", config.dim, config.opinion_width, seed=seed)
        self.attach("output_proj", projection)

    def forward(self, x: Any) -> Any:
        """Return the opinion on x, [..., L, out_features]; the features [..., L, D] are cached for a collective."""
        features = self["norm"](super().forward(x))
        self.cache_set("features", features)
        return self["output_proj"](features)

    @property
    def cached_features(self) -> Tensor | None:
        """What the last forward pass made its opinion of; None once the cache is cleared."""
        return self.cache_get("features")
