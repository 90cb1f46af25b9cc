"""Towers: networks of the same input whose opinions are fused, from components to wide collectives.

The names below are the library's public interface, each imported when it is first used. A tower is a `BaseTower` of
stages, a collective a `WideRouter` that computes all its towers together.
"""

from typing import TYPE_CHECKING

from organisms.lazy import exports

if TYPE_CHECKING:
    from organisms.towers.component import TorchComponent as TorchComponent
    from organisms.towers.identity import BaseComponent as BaseComponent
    from organisms.towers.router import BaseRouter as BaseRouter
    from organisms.towers.tower import BaseTower as BaseTower
    from organisms.towers.wide.cache_devices import CacheDeviceController as CacheDeviceController
    from organisms.towers.wide.gradients import GradientDebugger as GradientDebugger
    from organisms.towers.wide.groups.ensemble import SubEnsembleGroup as SubEnsembleGroup
    from organisms.towers.wide.groups.primitive_group import (
        WidePrimitiveTowerGroup as WidePrimitiveTowerGroup,
    )
    from organisms.towers.wide.groups.vmap_group import VMapTowerGroup as VMapTowerGroup
    from organisms.towers.wide.strategy import ExecutionStrategy as ExecutionStrategy
    from organisms.towers.wide.wide_router import WideRouter as WideRouter
else:
    __all__, __getattr__, __dir__ = exports(__name__)
