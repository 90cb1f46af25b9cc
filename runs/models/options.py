"""The options of the architectures that `fit` trains, besides those that a library has a configuration for."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from organisms.experts.config import BlockConfig, ModelConfig, MoEConfig, RouterConfig
from organisms.layers.config import AttentionConfig, Count, ExpertConfig, Section, Share

Activation = Literal["gelu", "relu", "silu", "swiglu", "geglu", "reglu"]


class ExpertsOptions(Section):
    """A mixture-of-experts transformer (`organisms.experts`)."""

    n_layers: Count = 2
    """Blocks, L."""
    block: BlockConfig = BlockConfig(
        moe=MoEConfig(
            d_model=64, router=RouterConfig(n_experts=8), expert=ExpertConfig(d_model=64, d_hidden=128)
        ),
        attention=AttentionConfig(n_heads=4),
    )
    """Differs from the document, whose defaults make a model of 231 million parameters; within `moe` they hold."""
    aux_weight: Annotated[float, Field(ge=0)] = 1.0
    """Factor of the sum of the routers' auxiliary losses."""

    def model(
        self, n_inputs: int = 1, n_outputs: int | None = None, vocab_size: int | None = None
    ) -> ModelConfig:
        """Return the configuration of the whole model, with the sizes that come from the data.

        Parameters
        ----------
        n_inputs, n_outputs, vocab_size
            As `ModelConfig` takes them.
        """
        return ModelConfig(
            n_layers=self.n_layers,
            block=self.block,
            aux_weight=self.aux_weight,
            n_inputs=n_inputs,
            n_outputs=n_outputs,
            vocab_size=vocab_size,
        )


class TransformerOptions(Section):
    """A dense transformer: the baseline."""

    n_layers: Count = 2
    """Blocks."""
    d_model: Count = 64
    """Width of the residual stream, D."""
    d_hidden: Count = 128
    """Hidden units of a feed-forward network."""
    activation: Activation = "swiglu"
    """The last three are gated: their first map is twice as wide."""
    dropout: Share = 0.0
    """Dropout of what attention and network add, and of the hidden units."""
    attention: AttentionConfig = AttentionConfig(n_heads=4)


class FlowOptions(Section):
    """A network of flow layers (`organisms.flow`)."""

    n_layers: Count = 2
    """Layers."""
    d_model: Count = 64
    """Width of the residual stream, D."""
    n_heads: Count = 4
    """Heads of attention."""
    n_patterns: Count = 8
    """Flow patterns of a layer."""
    base_sparsity: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of the window that a token receives from."""
    n_channels: Count = 2
    """Channels of a flow."""
    window: Count | None = None
    """Tokens that a token sees; null: all of the task's length."""
    self_attention: bool = True
    """Whether layers attend beside their flow."""
    memory_size: Count | None = None
    """Slots of each layer's memory; null: there is none."""


class TowersOptions(Section):
    """Layers of collectives of towers (`organisms.towers`), each fused into the residual stream."""

    n_layers: Count = 1
    """Collectives, one after the other."""
    d_model: Count = 64
    """Width of the residual stream, D."""
    n_towers: Annotated[int, Field(ge=2, le=64)] = 4
    """Towers of a collective."""
    depth: Count = 1
    """Feed-forward stages of a tower."""
    n_heads: Annotated[int, Field(ge=0)] = 4
    """Heads of the attention stage before each feed-forward stage; 0: towers read tokens one by one."""
    expansion: Count = 2
    """Hidden units of a feed-forward stage, by D."""
    activation: Activation = "gelu"
    """The last three are gated."""
    dropout: Share = 0.0
    """Share of what each stage adds that training leaves out."""
    fusion: str = "adaptive"
    """How opinions are fused, a name in `organisms.towers.fusion.builder.STRATEGIES`."""


class PseudopodsOptions(Section):
    """An encoder whose heads are pseudopods (`organisms.pseudopods.SlimeMoldEncoder`)."""

    n_layers: Count = 2
    """Layers."""
    d_model: Count = 64
    """Width of the residual stream, D."""
    n_heads: Count = 4
    """Heads of a layer."""
    rank: Count | None = None
    """Rank of the query-key product of every head; null: d_model / n_heads, a full one."""
    width: Count | None = None
    """Width of the value-output product of every head; null: d_model / n_heads."""
    d_hidden: Count = 128
    """Hidden units of a feed-forward network."""
    activation: Literal["relu", "gelu", "silu"] = "gelu"
    """Of the feed-forward network."""
    dropout: Share = 0.0
    """Share of weights, hidden units and writes that training drops."""


class ModelChoice(Section):
    """Which architecture, and its options under its name."""

    kind: str = "experts"
    """experts, transformer, flow, towers, pseudopods, or the import path package.module:Name of a builder of your own,
    (signature, options, generator) -> torch.nn.Module."""
    experts: ExpertsOptions = ExpertsOptions()
    transformer: TransformerOptions = TransformerOptions()
    flow: FlowOptions = FlowOptions()
    towers: TowersOptions = TowersOptions()
    pseudopods: PseudopodsOptions = PseudopodsOptions()
    options: dict[str, bool | int | float | str] = Field(default={})
    """What a builder of your own is given."""

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        from runs.config.sections import named

        return named(value, ARCHITECTURES)


ARCHITECTURES = ("experts", "transformer", "flow", "towers", "pseudopods")
"""Names of the builders in `runs.models.architectures`, which a configuration does not load."""
