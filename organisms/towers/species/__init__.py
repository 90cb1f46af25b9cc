"""The adapter that makes towers a family of components of the harness."""

from typing import TYPE_CHECKING

from organisms.lazy import exports

if TYPE_CHECKING:
    from organisms.towers.species.family import Towers as Towers
    from organisms.towers.species.options import TowerOptions as TowerOptions
else:
    __all__, __getattr__, __dir__ = exports(__name__)
