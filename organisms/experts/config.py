"""The configuration of a mixture-of-experts model: a frozen pydantic model for each part, a sentence under each key.

Names and defaults are those of the library that this one follows (the document), except where a line says "Differs
from the document". Two reasons recur: what depends on other tokens cannot reproduce a prefix; and random numbers
(noise, dropout) come from a generator that the caller passes, so that they are off by default.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator

from kernels.suggestion import did_you_mean
from organisms.layers.config import (
    AttentionConfig,
    Count,
    ExpertConfig,
    NotNegative,
    Positive,
    Section,
    Share,
)

# Beyond these, logits that are divided, perturbed and squared in float32 overflow.
Temperature: TypeAlias = Annotated[float, Field(ge=1e-6)]
Noise: TypeAlias = Annotated[float, Field(ge=0, le=1e6)]

# Import paths, so that a model loads no router but its own.
ROUTERS: Mapping[str, str] = {
    "topk": "organisms.experts.routing.topk:TopKRouter",
    "sinkhorn": "organisms.experts.routing.sinkhorn:SinkhornRouter",
    "expert_choice": "organisms.experts.routing.expert_choice:ExpertChoiceRouter",
    "bias": "organisms.experts.routing.bias:BiasRouter",
}
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class RouterConfig(Section):
    """How tokens are routed to experts, and how that is learned.

    What only one kind of router cannot do is refused when it is built, where its class is known.
    """

    router_type: str = "topk"
    """topk, sinkhorn, expert_choice, bias, or the import path package.module:Name of your own.
    Differs from the document: sinkhorn, whose training looks at all tokens of a batch."""
    n_experts: Count = 16
    """Experts that tokens are routed to, E."""
    n_shared: Annotated[int, Field(ge=0)] = 0
    """Shared experts beside these: every token goes through them, unweighted."""
    k: Count = 2
    """Experts per token; under expert_choice the mean over tokens."""
    capacity: Literal["dropless", "order_agnostic", "causal"] = "dropless"
    """In training: dropless (no limit), order_agnostic (an expert keeps the tokens that score it highest), causal
    (first come, first served). Evaluation is dropless. Differs from the document: order_agnostic."""
    capacity_factor: Positive = 1.25
    """Capacity of an expert over its mean number of tokens, N k / E; not read where capacity is dropless."""
    scores: Literal["softmax", "sigmoid"] | None = None
    """What turns logits into scores, over the experts together or of each alone; null: sigmoid for bias, as in
    DeepSeek-V3 (beside softmax scores near 1 its biases are too small to matter), else softmax."""
    norm_topk: bool | None = None
    """Whether the gate weights of a token are normalised to sum to 1, or are the scores themselves; null: true where
    k is over 1 and tokens choose, because a single weight of 1 would leave the router without a gradient."""
    temperature: Temperature = 1.0
    """Divides the logits: under 1 sharper, over 1 softer."""
    noise_type: Literal["none", "gaussian", "gumbel"] = "none"
    """Noise on the logits in training, before the temperature. Differs from the document: gumbel."""
    noise_std: Noise = 0.3
    """Standard deviation of Gaussian noise, scale of Gumbel noise."""
    router_dropout_prob: Share = 0.0
    """Chance, in training, that a token goes to its second-best expert alone; needs k = 2.
    Differs from the document: 0.05."""
    z_loss_weight: NotNegative = 1e-3
    """Weight of the squared log-sum-exp of the logits (z-loss of ST-MoE), after noise and temperature."""
    load_balance_weight: NotNegative = 1e-2
    """Weight of the load-balancing loss (Switch), which is 1 where loads are equal."""
    entropy_weight: NotNegative = 0.0
    """Weight of the difference of log E and the entropy of the scores, nats."""
    margin_weight: NotNegative = 0.0
    """Weight of the margin loss: a hinge on the best score less the second."""
    margin: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Difference of the best score and the second from which on the margin loss is zero."""
    dispatch_mode: Literal["sorted", "indices", "dense"] = "sorted"
    """How tokens are dispatched: sorted by expert, by indices into padded slots, or by one-hot products.
    Differs from the document: indices, which pads every expert to the largest load."""
    use_router_ln: bool = True
    """Normalise the router's input."""
    use_rms_norm: bool = True
    """By RMSNorm; false: by LayerNorm."""
    init_scale: Positive = 0.1
    """Variance of the initial logits of normed tokens (Switch, section 2.4): at zero all logits tie, and every token
    goes to the same experts."""
    renorm_after_drops: bool = True
    """Share the weights of a token's dropped choices among its kept ones, so that their sum stays."""
    sinkhorn_n_iter: Count = 5
    """Iterations of the router sinkhorn."""
    sinkhorn_tau: Temperature = 0.7
    """Temperature of its transport plan: small follows the logits, large spreads the tokens."""
    sinkhorn_topk: Count | None = 8
    """Its candidate experts per token, those of the largest logits; null, or n_experts and more: all."""
    bias_update_speed: NotNegative = 1e-2
    """Step of the biases of the router bias, per update (gamma of DeepSeek-V3). Differs from the source: 1e-3, with
    which most experts are still empty after hundreds of steps, because scores diverge faster than biases follow."""
    force_balanced: bool = False
    """For debugging: route tokens round robin, whatever the logits, and drop nothing."""

    @field_validator("router_type")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in ROUTERS or IMPORT_PATH.fullmatch(value):
            return value
        raise ValueError(
            f"router_type must be {', '.join(ROUTERS)} or an import path package.module:Name, not {value!r}"
            f"{did_you_mean(value, ROUTERS)}"
        )

    @model_validator(mode="after")
    def _rules(self) -> "RouterConfig":
        if self.k > self.n_experts:
            raise ValueError(f"k must be at most n_experts, {self.n_experts}, not {self.k}")
        if self.router_dropout_prob and self.k != 2:
            raise ValueError(
                f"router_dropout_prob leaves a token its second-best expert: k must be 2; with k {self.k} set it to 0"
            )
        return self


class MoEConfig(Section):
    """A feed-forward layer of experts with its router."""

    d_model: Count = 768
    """Width of the tokens, D."""
    router: RouterConfig = RouterConfig()
    expert: ExpertConfig = Field(default=ExpertConfig(), validate_default=True)
    fallback_policy: Literal["zero", "dense"] = "zero"
    """Output of a token that no expert computes, because of capacity or, under expert_choice, because none took it:
    zero, or that of a dense network."""
    fallback_weight: Positive = 1.0
    """Factor of the dense network's output."""

    @field_validator("expert")
    @classmethod
    def _as_wide(cls, expert: ExpertConfig, info: ValidationInfo) -> ExpertConfig:
        width = info.data.get("d_model")  # missing where it was refused itself
        if width is None or expert.d_model == width:
            return expert
        if "d_model" in expert.model_fields_set:
            raise ValueError(
                f"d_model of the experts must be that of the layer, {width}, not {expert.d_model}; leave it out"
            )
        return expert.model_copy(update={"d_model": width})


class BlockConfig(Section):
    """A pre-norm transformer block: attention and a feed-forward layer, each with a residual connection."""

    moe: MoEConfig = MoEConfig()
    attention: AttentionConfig = AttentionConfig()
    feed_forward: Literal["moe", "dense"] = "moe"
    """Experts, or one dense network of the shape of an expert, for comparison."""
    use_rms_norm: bool = True
    """Norms by RMSNorm; false: by LayerNorm."""
    dropout: Share = 0.0
    """Dropout of what each of the two adds to the residual stream."""

    @model_validator(mode="after")
    def _rules(self) -> "BlockConfig":
        self.attention.head_width(self.moe.d_model)
        return self


class ModelConfig(Section):
    """A stack of transformer blocks between an input and an output projection."""

    n_layers: Count = 6
    """Blocks, L, all of one shape."""
    block: BlockConfig = BlockConfig()
    n_inputs: Count = 1
    """Input features per token of a sequence regressor, whose tokens are continuous values."""
    n_outputs: Count | None = None
    """Output features per token; null: as many as input features."""
    vocab_size: Count | None = None
    """Vocabulary size of a language model; null where values are continuous."""
    aux_weight: NotNegative = 1.0
    """Factor of the sum of the auxiliary losses. Differs from the document: 0.01, on top of the weights of the losses
    themselves, which leaves 0.0001 for load balancing."""
