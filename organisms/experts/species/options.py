"""The options of the expert family: bounds of an expert's structural genes, and how tokens are routed."""

from collections.abc import Iterator
from typing import ClassVar

from organisms.layers.config import Count, NotNegative
from organisms.options import BrokenRule, FamilyOptions, Sizes, Traits


class ExpertOptions(FamilyOptions):
    """Bounds of the structural genes of an expert, and how tokens are routed in training."""

    # A host that keeps one expert a layer leaves one of each token's k choices free for a graft. Tokens see one another
    # through the frozen mixer alone, so how long that is trained limits what experts can learn.
    traits: ClassVar[Traits] = Traits(gate="competes", assay="use", host_share=0.1, interface_steps=600)

    max_rank: Count = 16
    """Largest rank of an expert's two matrices, a gene."""
    max_hidden: Count = 32
    """Largest hidden width, a gene; at least max_rank."""
    experts_per_token: Count = 2
    """Experts that a token goes to, at most organism.capacity; where fewer live, all of them."""
    balance: NotNegative = 0.01
    """Weight of the load-balancing loss in training."""

    def broken_rules(self, sizes: Sizes) -> Iterator[BrokenRule]:
        """Yield every rule between keys that these options break in organisms of such sizes."""
        if self.max_hidden < self.max_rank:
            yield BrokenRule(
                ("max_hidden", "max_rank"),
                f"must be at least max_rank ({self.max_rank}), not {self.max_hidden}",
            )
        if self.experts_per_token > sizes.capacity:
            yield BrokenRule(
                ("experts_per_token", "organism.capacity"),
                f"must be at most organism.capacity ({sizes.capacity}), not {self.experts_per_token}",
            )
