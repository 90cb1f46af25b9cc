"""The configuration of a feed-forward network and of self-attention, and what all sections have in common."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count: TypeAlias = Annotated[int, Field(ge=1)]
Share: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A section of a configuration: frozen, strict in its types, without unknown keys and non-finite numbers."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ExpertConfig(Section):
    """A feed-forward network: an expert of a mixture, or a dense one."""

    expert_type: Literal["ffn"] = "ffn"
    """Two linear maps around an activation."""
    d_model: Count = 768
    """Width of input and output, D; where it is left out inside a MoEConfig: that one's."""
    d_hidden: Count = 3072
    """Hidden units, H, between the two maps."""
    activation: Literal["gelu", "relu", "silu", "swiglu", "geglu", "reglu"] = "swiglu"
    """The last three are gated: their first map is twice as wide."""
    dropout: Share = 0.0
    """Share of the hidden units that training leaves out. Differs from the document: 0.1."""
    bias: bool = True
    """Whether the two maps have biases."""
    init: Literal["xavier_uniform", "xavier_normal", "scaled_xavier", "scaled_kaiming"] = "scaled_xavier"
    """How the maps are drawn; the scaled ones shrink with the depth of the model."""
    grouped_gemm: bool = True
    """In the padded dispatch modes: multiply by torch.bmm; false: by einsum."""
    checkpoint_experts: bool = False
    """Activation checkpointing: recompute the hidden activations in the backward pass instead of keeping them."""


class AttentionConfig(Section):
    """Self-attention. The document has no section for it: it names its parts alone."""

    n_heads: Count = 8
    """Query heads; they share the width of the block evenly."""
    n_kv_heads: Count | None = None
    """Key and value heads, each shared by as many query heads; null: one for each query head."""
    causal: bool = True
    """Whether a token sees itself and earlier ones only."""
    bias: bool = False
    """Whether the projections have biases."""
    rope: bool = True
    """Rotate queries and keys by their positions."""
    rope_base: Annotated[float, Field(gt=1)] = 10_000.0
    """Longest wavelength over the shortest."""
    rotary_dim: Count | None = None
    """Coordinates of a head that are rotated, an even number; null: all."""
    rope_scaling: Literal["none", "linear", "ntk", "yarn"] = "none"
    """Beyond the trained length: linear divides all frequencies by rope_factor, ntk raises the base instead, yarn
    divides low frequencies only."""
    rope_factor: Annotated[float, Field(ge=1)] = 1.0
    """Longest sequence over the trained length."""
    rope_trained: Count = 2048
    """Trained length in tokens; only yarn asks for it."""

    @model_validator(mode="after")
    def _rules(self) -> "AttentionConfig":
        if self.n_kv_heads is not None and self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_kv_heads must divide n_heads, {self.n_heads}, evenly, which {self.n_kv_heads} does not"
            )
        if self.rotary_dim is not None and self.rotary_dim % 2:
            raise ValueError(
                f"rotary_dim must be even, not {self.rotary_dim}: coordinates are rotated in pairs"
            )
        return self

    def head_width(self, d_model: int) -> int:
        """Return the width of one head in a model of width `d_model`.

        Raises
        ------
        ValueError
            If the heads cannot share the width evenly, or a head has no such rotary width.
        """
        if d_model % self.n_heads:
            raise ValueError(f"n_heads must divide d_model, {d_model}, evenly, which {self.n_heads} does not")
        width = d_model // self.n_heads
        if self.rope and self.rotary_dim is None and width % 2:
            raise ValueError(
                f"a head of {width} coordinates, d_model {d_model} by n_heads {self.n_heads}, cannot be rotated whole: "
                "set an even rotary_dim, other heads, or rope to false"
            )
        if self.rope and self.rotary_dim is not None and self.rotary_dim > width:
            raise ValueError(
                f"rotary_dim must be at most the width of a head, {width}, not {self.rotary_dim}"
            )
        if self.rope and self.rope_scaling == "ntk" and (self.rotary_dim or width) < 4:
            raise ValueError(
                "rope_scaling ntk must have 4 coordinates to rotate, a pair at its old frequency and one at a lower, "
                f"not {self.rotary_dim or width}: set another rotary_dim, n_heads or rope_scaling"
            )
        return width
