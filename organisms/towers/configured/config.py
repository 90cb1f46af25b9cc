"""The configuration of a tower over tokens."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from organisms.layers.config import Count, Section, Share


class TowerConfig(Section):
    """A tower of feed-forward stages, with or without an attention stage before each."""

    dim: Count = 256
    """Width of a token, D."""
    out_features: Count | None = None
    """Width of the opinion; where it is left out: D."""
    depth: Count = 2
    """Feed-forward stages."""
    num_heads: Annotated[int, Field(ge=0)] = 0
    """Heads of the attention stage before each feed-forward stage; 0: there is none, and tokens are read one by one."""
    expansion: Count = 2
    """Hidden units of a feed-forward stage, by D."""
    activation: Literal["gelu", "relu", "silu", "swiglu", "geglu", "reglu"] = "gelu"
    """The last three are gated: their first map is twice as wide."""
    dropout: Share = 0.0
    """Share of what each stage adds that training leaves out."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "TowerConfig":
        if self.num_heads and self.dim % self.num_heads:
            raise ValueError(f"num_heads must divide dim, {self.dim}, but is {self.num_heads}")
        return self

    @property
    def input_width(self) -> int:
        """Width of what the tower reads."""
        return self.dim

    @property
    def opinion_width(self) -> int:
        """Width of the opinion."""
        return self.dim if self.out_features is None else self.out_features
