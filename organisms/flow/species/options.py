"""The options of the flow family: bounds of a pattern's structural genes, and how tokens are mixed."""

from collections.abc import Iterator
from typing import ClassVar

from organisms.layers.config import Count
from organisms.options import BrokenRule, FamilyOptions, Sizes, Traits


class FlowOptions(FamilyOptions):
    """Bounds of the structural genes of a flow pattern, and how many of them a token mixes."""

    # A host that keeps one pattern a layer leaves one of each token's k choices free for a graft.
    traits: ClassVar[Traits] = Traits(gate="competes", assay="use", host_share=0.1, interface_steps=300)

    max_rank: Count = 16
    """Largest reduced width of a pattern, a gene: what it reads, moves and writes has at most this rank."""
    max_channels: Count = 2
    """Most flow channels of a pattern, a gene."""
    max_positions: Count = 16
    """Most positions that a token receives from in one channel, a gene."""
    max_window: Count | None = None
    """Largest window, a gene: a token receives at a distance under it; null: the whole sequence."""
    patterns_per_token: Count = 2
    """Patterns that a token mixes, at most organism.capacity; where fewer live, all of them."""

    def broken_rules(self, sizes: Sizes) -> Iterator[BrokenRule]:
        """Yield every rule between keys that these options break in organisms of such sizes."""
        if self.patterns_per_token > sizes.capacity:
            yield BrokenRule(
                ("patterns_per_token", "organism.capacity"),
                f"must be at most organism.capacity ({sizes.capacity}), not {self.patterns_per_token}",
            )
