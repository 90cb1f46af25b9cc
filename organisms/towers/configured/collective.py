"""Collectives of towers that are made of configurations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from kernels import arguments
from organisms.towers.configured.config import TowerConfig
from organisms.towers.configured.tower import ConfigurableTower
from organisms.towers.fusion.builder import STRATEGIES
from organisms.towers.fusion.component import FusionComponent
from organisms.towers.walkers.fusion import WalkerFusion
from organisms.towers.wide.strategy import ExecutionStrategy
from organisms.towers.wide.wide_router import WideRouter


@dataclass(frozen=True, slots=True)
class CollectiveOpinion:
    """What a collective says, and what its towers do.

    Parameters
    ----------
    fused
        The fused opinion.
    opinions
        Those of the towers by name.
    features
        What they were made of, by the towers' names.
    """

    fused: Tensor
    opinions: dict[str, Tensor]
    features: dict[str, Tensor]


class ConfigurableCollective(WideRouter):
    """A wide router with a tower for each configuration, and a fusion of their opinions.

    Parameters
    ----------
    name
        What people call it.
    configs
        Configurations by the names of towers; all read one input and give opinions of one width.
    fusion
        A name in `STRATEGIES`, or a fusion or walk of your own, for as many opinions of this width.
    execution_strategy
        As `WideRouter` takes it.
    seed
        With names, what uuids and parameters are drawn from; None: uuids of their own, and the parameters of seed 0.
    options
        Further ones of `WideRouter`.

    Raises
    ------
    ValueError
        If there is no configuration, one is of another kind or width, or there is no such fusion.
    """

    config_type: ClassVar[type] = TowerConfig
    tower_type: ClassVar[Any] = ConfigurableTower

    def __init__(
        self,
        name: str,
        configs: Mapping[str, Any],
        *,
        fusion: str | FusionComponent | WalkerFusion = "adaptive",
        execution_strategy: ExecutionStrategy | str = ExecutionStrategy.AUTO,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        width = _one_width(name, configs, self.config_type)
        arguments.instance(f"fusion of collective {name!r}", fusion, str, FusionComponent, WalkerFusion)
        if isinstance(fusion, str):
            arguments.one_of("fusion", fusion, tuple(STRATEGIES))
            fusion = STRATEGIES[fusion](f"{name}_fusion", len(configs), width, seed=seed)
        _check_fusion(name, fusion, len(configs), width)
        super().__init__(name, execution_strategy=execution_strategy, seed=seed, **options)
        for tower, config in configs.items():
            self.attach(tower, self.tower_type(f"{name}_{tower}", config, seed=seed))
        self.attach("fusion", fusion)

    def forward(self, x: Any) -> Any:
        """Return the fused opinion on x; the towers' caches are clear afterwards."""
        opinions = self.wide_forward(x)
        self.clear_tower_caches()
        return self["fusion"](*opinions.values())

    def heard(self, x: Any) -> CollectiveOpinion:
        """Return the fused opinion on x with the towers' own, and their features, which leave the caches."""
        opinions = self.wide_forward(x)
        features = {name: tower.cache_get("features") for name, tower in self.towers.items()}
        self.clear_tower_caches()
        return CollectiveOpinion(self["fusion"](*opinions.values()), opinions, features)


def _one_width(name: str, configs: Mapping[str, Any], kind: type) -> int:
    """Return the width of all opinions."""
    if not isinstance(configs, Mapping) or not configs:
        raise ValueError(
            f"configs of collective {name!r} must be a mapping from the names of towers, at least one, to their "
            f"{kind.__name__}, but is {configs!r}"
        )
    for tower, config in configs.items():
        if not isinstance(config, kind):
            raise ValueError(
                f"configs of collective {name!r} must hold a {kind.__name__} for tower {tower!r}, but hold a "
                f"{type(config).__name__}"
            )
    (first, expected), *others = ((tower, _widths(config)) for tower, config in configs.items())
    for tower, found in others:
        if found != expected:
            raise ValueError(
                f"towers of collective {name!r} must read one width and give opinions of one width, but {first!r} has "
                f"{expected} and {tower!r} {found}: set out_features"
            )
    return expected[1]


def _widths(config: Any) -> tuple[int, int]:
    return config.input_width, config.opinion_width


def _check_fusion(name: str, fusion: FusionComponent | WalkerFusion, number: int, width: int) -> None:
    inputs = fusion.num_inputs if isinstance(fusion, FusionComponent) else number  # a walk takes any number
    if (inputs, fusion.in_features) != (number, width):
        raise ValueError(
            f"fusion of collective {name!r} must be made for {number} opinions of {width} numbers, but is for "
            f"{inputs} of {fusion.in_features}"
        )
