"""The adapter that makes experts a family of components of the harness."""

from typing import TYPE_CHECKING

from organisms.lazy import exports

if TYPE_CHECKING:
    from organisms.experts.species.family import Experts as Experts
    from organisms.experts.species.options import ExpertOptions as ExpertOptions
else:
    __all__, __getattr__, __dir__ = exports(__name__)
