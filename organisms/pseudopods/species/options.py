"""The options of the pseudopod family: bounds of the structural genes of a head."""

from collections.abc import Iterator
from typing import ClassVar

from organisms.layers.config import Count, Positive
from organisms.options import BrokenRule, FamilyOptions, Sizes, Traits


class PseudopodOptions(FamilyOptions):
    """Bounds of the structural genes of a pseudopod, a low-rank attention head."""

    traits: ClassVar[Traits] = Traits(gate="adds", assay="use", host_share=0.25, interface_steps=300)

    max_rank: Count = 16
    """Largest rank of the query-key product, a gene."""
    max_width: Count = 16
    """Largest width of the value-output product, a gene."""
    max_window: Count | None = None
    """Largest attention window in tokens, a gene; null: the whole sequence."""
    min_temperature: Positive = 0.5
    """Lowest attention temperature, a gene."""
    max_temperature: Positive = 2.0
    """Highest attention temperature, a gene."""
    compact: bool = False
    """Whether a layer computes its living heads alone, so that fewer of them take less memory; it changes last bits."""

    def broken_rules(self, sizes: Sizes) -> Iterator[BrokenRule]:
        """Yield every rule between keys that these options break in organisms of such sizes."""
        if self.min_temperature > self.max_temperature:
            yield BrokenRule(
                ("min_temperature", "max_temperature"),
                f"must be at most max_temperature ({self.max_temperature:g}), not {self.min_temperature:g}",
            )
