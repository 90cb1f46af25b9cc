"""The adapter that makes pseudopods a family of components of the harness."""

from typing import TYPE_CHECKING

from organisms.lazy import exports

if TYPE_CHECKING:
    from organisms.pseudopods.species.family import Pseudopods as Pseudopods
    from organisms.pseudopods.species.options import PseudopodOptions as PseudopodOptions
    from organisms.pseudopods.species.reading import read as read
else:
    __all__, __getattr__, __dir__ = exports(__name__)
