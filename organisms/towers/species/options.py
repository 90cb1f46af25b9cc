"""The options of the tower family: bounds of a tower's structural genes, and how opinions are fused."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from organisms.layers.config import Count
from organisms.options import FamilyOptions, Traits

Fusion = Literal["adaptive", "gated", "sum"]


class TowerOptions(FamilyOptions):
    """Bounds of the structural genes of a tower, and how a layer fuses its towers' opinions."""

    # The gate is that of the fusion adaptive; with the others it adds. Tokens see one another through the frozen mixer
    # and through the towers' own attention stages.
    traits: ClassVar[Traits] = Traits(gate="competes", assay="use", host_share=0.25, interface_steps=600)

    fusion: Fusion = "adaptive"
    """How opinions are fused: adaptive (shares of a softmax), gated (a sigmoid each) or sum."""
    max_stages: Count = 2
    """Most feed-forward stages of a tower, a gene."""
    max_width: Count = 16
    """Largest width of a tower's own stream, a gene: what it writes has at most this rank."""
    max_expansion: Count = 2
    """Largest number of hidden units of a stage for each unit of width, a gene."""
    attention: bool = True
    """Whether towers may have an attention stage, a gene."""
    messages: Annotated[int, Field(ge=0)] = 0
    """Nearest neighbours, by their addresses, whose opinions enter a tower's input; 0: none."""

    @property
    def scored(self) -> bool:
        """Whether a tower has a score of its own, by which its opinion is weighed."""
        return self.fusion != "sum"
