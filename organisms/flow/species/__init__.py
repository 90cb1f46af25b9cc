"""The adapter that makes flow patterns a family of components of the harness."""

from typing import TYPE_CHECKING

from organisms.lazy import exports

if TYPE_CHECKING:
    from organisms.flow.species.family import Flow as Flow
    from organisms.flow.species.options import FlowOptions as FlowOptions
else:
    __all__, __getattr__, __dir__ = exports(__name__)
