"""The options of the transformer family: the sizes of a shard, or their bounds where they are to differ."""

from collections.abc import Iterator
from typing import ClassVar

from organisms.layers.config import Count
from organisms.options import BrokenRule, FamilyOptions, Sizes, Traits


class TransformerOptions(FamilyOptions):
    """Sizes of a shard of a transformer's layer: a head, and a share of the feed-forward network's hidden units.

    Where smallest and largest sizes are equal, all shards are alike, as in the transformer that everybody means.
    """

    traits: ClassVar[Traits] = Traits(gate="adds", assay="use", host_share=0.25, interface_steps=300)

    max_width: Count = 16
    """Largest width of a head's queries, keys and values, a gene."""
    min_width: Count = 4
    """Smallest width of a head, at most max_width."""
    max_hidden: Count = 64
    """Most hidden units of a shard, a gene; a layer's feed-forward network has those of all its shards."""
    min_hidden: Count = 16
    """Fewest hidden units of a shard, at most max_hidden."""

    def broken_rules(self, sizes: Sizes) -> Iterator[BrokenRule]:
        """Yield every rule between keys that these options break in organisms of such sizes."""
        for name in ("width", "hidden"):
            least, most = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if least > most:
                yield BrokenRule(
                    (f"min_{name}", f"max_{name}"), f"must be at most max_{name} ({most}), not {least}"
                )
