"""The configuration of a mixture-of-experts model: one frozen model a part, with a sentence under each key.

The names and the defaults are those of the library that this one follows (the document), except where a line says
"Differs from the document". Two reasons come again: what looks at other tokens cannot reproduce a prefix, and chance
(noise, dropout) comes from a generator that the caller gives, so that it is off until it is asked for.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator

from organisms.layers.config import (
    AttentionConfig,
    Count,
    ExpertConfig,
    NotNegative,
    Positive,
    Share,
    _Section,
)

# Beyond these, logits that are divided, disturbed and squared in float32 are no numbers.
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


class RouterConfig(_Section):
    """Which experts each token is given to, and how that is learned.

    What one kind of router alone cannot do is refused when it is built, where its class is known.
    """

    router_type: str = "topk"
    """topk, sinkhorn, expert_choice, bias, or the import path package.module:Name of your own.
    Differs from the document: sinkhorn, whose training looks at all tokens of a batch."""
    n_experts: Count = 16
    """Experts that tokens are routed to, E."""
    n_shared: Annotated[int, Field(ge=0)] = 0
    """Experts beside these that every token goes through, unweighted and unrouted."""
    k: Count = 2
    """Experts per token; under expert_choice the mean over tokens."""
    capacity: Literal["dropless", "order_agnostic", "causal"] = "dropless"
    """In training: dropless (no limit), order_agnostic (an expert keeps the tokens that score it highest), causal
    (the first that come). Evaluation is dropless. Differs from the document: order_agnostic."""
    capacity_factor: Positive = 1.25
    """Places of an expert over its mean number of tokens, N k / E; not read where capacity is dropless."""
    scores: Literal["softmax", "sigmoid"] | None = None
    """What makes scores of the logits: over the experts together, or of each expert alone; null: sigmoid for bias,
    as DeepSeek-V3 has it (beside softmax scores near 1 its biases are too small to decide), else softmax."""
    norm_topk: bool | None = None
    """Whether the weights of a token sum to 1, or are the scores as they are; null: if k is over 1 and tokens
    choose, because a single weight that is always 1 would leave the router without a gradient."""
    temperature: Temperature = 1.0
    """The logits are divided by it: under 1 sharper, over 1 softer."""
    noise_type: Literal["none", "gaussian", "gumbel"] = "none"
    """Noise on the logits in training, before the temperature. Differs from the document: gumbel."""
    noise_std: Noise = 0.3
    """Standard deviation of Gaussian noise, scale of Gumbel noise."""
    router_dropout_prob: Share = 0.0
    """Chance, in training, that a token goes to its second-best expert alone; needs k = 2.
    Differs from the document: 0.05."""
    z_loss_weight: NotNegative = 1e-3
    """Weight of the squared log-sum-exp of the logits (ST-MoE), as they enter the scores: after noise and
    temperature."""
    load_balance_weight: NotNegative = 1e-2
    """Weight of the load-balancing loss (Switch), which is 1 where loads are equal."""
    entropy_weight: NotNegative = 0.0
    """Weight of what the entropy of the scores lacks to that of a uniform choice, nats."""
    margin_weight: NotNegative = 0.0
    """Weight of what the best score's lead over the second lacks to `margin`."""
    margin: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Lead of the best score over the second beyond which the margin loss is zero."""
    dispatch_mode: Literal["sorted", "indices", "dense"] = "sorted"
    """How tokens come to their experts: sorted by expert, in padded places, or by a one-hot product.
    Differs from the document: indices, which pads every expert to the largest load."""
    use_router_ln: bool = True
    """Normalise the router's input."""
    use_rms_norm: bool = True
    """By RMSNorm; false: by LayerNorm."""
    init_scale: Positive = 0.1
    """Variance of the initial logits of normed tokens (Switch, section 2.4): zero would send all tokens to the same
    experts, by ties."""
    renorm_after_drops: bool = True
    """Give the weights of experts without a place to the others, so that the sum of a token's weights stays."""
    sinkhorn_n_iter: Count = 5
    """Balancing iterations of the router sinkhorn."""
    sinkhorn_tau: Temperature = 0.7
    """Temperature of its plan: small follows the logits, large spreads the tokens."""
    sinkhorn_topk: Count | None = 8
    """Its candidates per token, those of the largest logits; null, or n_experts and more: all."""
    bias_update_speed: NotNegative = 1e-2
    """Step of the biases of the router bias, per update (gamma of DeepSeek-V3). Differs from the source: 1e-3, with
    which hundreds of steps leave most experts empty, as scores part faster than biases follow."""
    force_balanced: bool = False
    """For debugging: deal the experts out in turn, whatever the logits, and drop nothing."""

    @field_validator("router_type")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in ROUTERS or IMPORT_PATH.fullmatch(value):
            return value
        near = get_close_matches(value, ROUTERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"router_type must be {', '.join(ROUTERS)} or an import path package.module:Name, not {value!r}{hint}"
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


class MoEConfig(_Section):
    """A feed-forward layer of experts with its router."""

    d_model: Count = 768
    """Width of the tokens, D."""
    router: RouterConfig = RouterConfig()
    expert: ExpertConfig = Field(default=ExpertConfig(), validate_default=True)
    fallback_policy: Literal["zero", "dense"] = "zero"
    """What a token gets that no expert computes, for want of a place or, under expert_choice, because none took it:
    nothing, or a dense network of its own."""
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


class BlockConfig(_Section):
    """A transformer block: attention and a feed-forward layer, each after a norm and around a residual."""

    moe: MoEConfig = MoEConfig()
    attention: AttentionConfig = AttentionConfig()
    feed_forward: Literal["moe", "dense"] = "moe"
    """Experts, or one dense network of the same shape as an expert, for comparison."""
    use_rms_norm: bool = True
    """Norms by RMSNorm; false: by LayerNorm."""
    dropout: Share = 0.0
    """Share of what each of the two parts adds to the residual that training leaves out."""

    @model_validator(mode="after")
    def _rules(self) -> "BlockConfig":
        self.attention.head_width(self.moe.d_model)
        return self


class ModelConfig(_Section):
    """A stack of blocks between an input and an output map."""

    n_layers: Count = 6
    """Blocks, all of one shape."""
    block: BlockConfig = BlockConfig()
    n_inputs: Count = 1
    """Numbers per token of a sequence regressor: continuous values are its tokens."""
    n_outputs: Count | None = None
    """Numbers that it predicts at each token; null: as many as it reads."""
    vocab_size: Count | None = None
    """Symbols of a language model; null where values are continuous."""
    aux_weight: NotNegative = 1.0
    """Factor of all auxiliary losses beside the task's. Differs from the document: 0.01, a second time after the
    weights of the losses themselves, which leaves 0.0001 for the balance of loads."""
