"""The adapter that makes shards of transformer layers a family of components of the harness."""

from typing import TYPE_CHECKING

from organisms.lazy import exports

if TYPE_CHECKING:
    from organisms.transformer.species.family import Transformer as Transformer
    from organisms.transformer.species.options import TransformerOptions as TransformerOptions
else:
    __all__, __getattr__, __dir__ = exports(__name__)
