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
else:
    __all__, __getattr__, __dir__ = exports(__name__)
