"""The base of all routers: from tokens to logits, scores, choices, capacity, gate weights and losses."""

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import arguments, backends
from kernels.exporting import exporting
from organisms.experts.config import RouterConfig
from organisms.experts.routing.capacity import expert_capacity, first_come, growing_capacity, highest
from organisms.experts.routing.choice import Choice, round_robin, without_best
from organisms.experts.routing.decision import RoutingInfo
from organisms.experts.routing.losses import entropy_loss, load_balance, margin_loss, z_loss
from organisms.experts.routing.metrics import metrics
from organisms.experts.routing.scores import NOISE, log_scores, weights
from organisms.layers.checks import check_mask, described, required_generator, zeroed
from organisms.layers.redrawn import drawn_once, state_of

EPSILON = 1e-6  # under the root of the input norm


class BaseRouter(nn.Module, ABC):
    """A router of N tokens over E experts, of logits z = W norm(x); a subclass implements `choose`.

    Whatever the tokens' dtype, and under autocast, it computes in float32, or in float64 for float64 tokens.

    Parameters
    ----------
    config
        Its options.
    d_model
        Width of the tokens, D.
    generator
        What the weights are drawn from, on the CPU: normal, of variance ``init_scale / D``.

    Raises
    ------
    ValueError
        If the options ask for a capacity or router dropout where experts choose.
    """

    # Properties of the class, so that they hold by whatever name or import path it is built.
    tokens_choose: ClassVar[bool] = True  # False: experts choose, by all tokens, later ones too
    default_scores: ClassVar[Literal["softmax", "sigmoid"]] = "softmax"  # where the configuration has null

    def __init__(self, config: RouterConfig, d_model: int, *, generator: torch.Generator) -> None:
        super().__init__()
        if not self.tokens_choose:
            _check_experts_choose(config, type(self).__name__)
        self.config = config
        drawn = torch.randn(config.n_experts, d_model, generator=generator)
        self.weight = nn.Parameter(drawn * math.sqrt(config.init_scale / d_model))
        self.norm_weight = nn.Parameter(torch.ones(d_model)) if config.use_router_ln else None
        has_bias = config.use_router_ln and not config.use_rms_norm
        self.norm_bias = nn.Parameter(torch.zeros(d_model)) if has_bias else None

    @property
    def scored_by(self) -> str:
        """The function from logits to scores: softmax or sigmoid."""
        return self.config.scores or self.default_scores

    @property
    def normalised(self) -> bool:
        """Whether the gate weights of a token sum to 1."""
        asked = self.config.norm_topk
        return self.config.k > 1 and self.tokens_choose if asked is None else asked

    @abstractmethod
    def choose(
        self, logits: Float[Tensor, "N E"], logs: Float[Tensor, "N E"], mask: Bool[Tensor, " N"]
    ) -> Choice:
        """Return which experts each token goes to.

        `organisms.experts.routing.choice.best` makes a choice from preferences.

        Parameters
        ----------
        logits
            Logits of the experts, noise and temperature included, [N, E].
        logs
            Logs of the scores, [N, E].
        mask
            False where a token is padding, whose choice is not used, [N].
        """

    def forward(
        self,
        x: Float[Tensor, "N D"],
        mask: Bool[Tensor, " N"] | None = None,
        generator: torch.Generator | None = None,
    ) -> RoutingInfo:
        """Return the routing of tokens.

        Parameters
        ----------
        x
            Tokens, [N, D]; padding may hold anything, even NaN. N may be zero.
        mask
            False where a token is padding, [N]; None: nowhere.
        generator
            What noise and router dropout are drawn from; needed in training if either is on, else not read.

        Raises
        ------
        ValueError
            If the tokens are no floating-point [N, D] or the mask no bool [N]; if a token that is not padding, or
            the router's weight, is not finite, or the token's squares overflow in the norm; if the generator is
            missing; if the capacity is under one token.
        """
        _check_tokens(x, mask, self.weight.shape[1])
        x = zeroed(x, mask)
        logits = self.route_logits(x)
        _check_finite(logits)
        return self.route(logits, mask, generator)

    def route_logits(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N E"]:
        """Return the logits of the experts, [N, E], without noise and temperature.

        Raises
        ------
        ValueError
            If the squares of a token overflow in the norm.
        """
        with backends.exact(x):
            dtype = torch.promote_types(x.dtype, torch.float32)
            return F.linear(self._normed(x.to(dtype)), self.weight.to(dtype))

    def route(
        self,
        logits: Float[Tensor, "N E"],
        mask: Bool[Tensor, " N"] | None = None,
        generator: torch.Generator | None = None,
    ) -> RoutingInfo:
        """Return the routing of tokens with given logits.

        Parameters
        ----------
        logits
            As `route_logits` returns them, [N, E]; they are not checked: those that are not finite make such weights.
        mask, generator
            As in `forward`.
        """
        if mask is None:
            mask = torch.ones_like(logits[:, 0], dtype=torch.bool)
        before = state_of(generator)
        logits = self._explored(logits, generator) / self.config.temperature
        logs = log_scores(logits, self.scored_by)
        choice = self._choice(logits, logs, mask, generator)
        logits, logs = (drawn_once(each, before, generator) for each in (logits, logs))
        chosen = choice.chosen & mask[:, None]
        kept, limit = self._kept(logs, choice.experts, chosen, mask)
        config = self.config
        info = RoutingInfo(
            experts=choice.experts,
            weights=weights(
                logs.gather(1, choice.experts),
                chosen,
                kept,
                normalised=self.normalised,
                renormalised=config.renorm_after_drops,
            ),
            chosen=chosen,
            kept=kept,
            mask=mask,
            gates=logs.exp(),
            logits=logits,
            limit=limit,
            aux_lb=load_balance(logs, _pairs(logs, choice.experts, chosen).sum(0), mask),
            aux_z=z_loss(logits, mask),
            aux_entropy=entropy_loss(logs, mask),
            aux_margin=margin_loss(logs.exp(), mask, config.margin),
            metrics={},
        )
        return replace(info, metrics=metrics(info, config))

    @property
    def decides_alone(self) -> bool:
        """Whether, in evaluation, the experts of a token depend on that token alone."""
        return self.tokens_choose and not self.config.force_balanced

    def decided(self, x: Float[Tensor, "N D"]) -> tuple[Int64[Tensor, "N K"], Float[Tensor, "N K"]]:
        """Return the experts of tokens, best first, and their gate weights, as `forward` does in evaluation.

        Raises
        ------
        ValueError
            If the experts of a token depend on other tokens; if logits are not finite.
        """
        if not self.decides_alone:
            raise ValueError(
                f"the experts of a token must depend on it alone, but {type(self).__name__} looks at other tokens too"
            )
        logits = self.route_logits(x)
        _check_finite(logits)
        logits = logits / self.config.temperature
        logs = log_scores(logits, self.scored_by)
        choice = self.choose(logits, logs, torch.ones_like(logits[:, 0], dtype=torch.bool))
        chosen = choice.chosen
        options = {"normalised": self.normalised, "renormalised": self.config.renorm_after_drops}
        return choice.experts, weights(logs.gather(1, choice.experts), chosen, chosen, **options)

    def _normed(self, x: Tensor) -> Tensor:
        if self.norm_weight is None:
            return x
        _check_squares(x.detach())
        scale = self.norm_weight.to(x.dtype)
        if self.norm_bias is None:
            return F.rms_norm(x, x.shape[1:], scale, EPSILON)
        return F.layer_norm(x, x.shape[1:], scale, self.norm_bias.to(x.dtype), EPSILON)

    def _explored(self, logits: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.training or self.config.noise_type == "none":
            return logits
        noise = NOISE[self.config.noise_type](logits.shape, required_generator(generator, "noise_type"))
        return logits + self.config.noise_std * noise.to(logits)

    def _choice(
        self, logits: Tensor, logs: Tensor, mask: Tensor, generator: torch.Generator | None
    ) -> Choice:
        if self.config.force_balanced:
            return round_robin(mask, self.config.k, logits.shape[1])
        choice = self.choose(logits, logs, mask)
        if not isinstance(choice, Choice):
            raise ValueError(
                f"{type(self).__name__}.choose must return a Choice, but returned {described(choice)}"
            )
        if self.training and self.config.router_dropout_prob:
            source = required_generator(generator, "router_dropout_prob")
            return without_best(choice, self.config.router_dropout_prob, source)
        return choice

    def _kept(self, logs: Tensor, experts: Tensor, chosen: Tensor, mask: Tensor) -> tuple[Tensor, int | None]:
        """Return which choices are kept, [N, K], and the capacity of an expert."""
        config = self.config
        if config.capacity == "dropless" or not self.training or config.force_balanced:
            return chosen, None
        wanted = _pairs(logs, experts, chosen)
        how = (config.k, logs.shape[1], config.capacity_factor)
        tokens = int(mask.sum())
        if config.capacity == "causal":
            limits = growing_capacity(mask, *how)
            kept, limit = first_come(wanted, limits), min(int(limits[-1]), tokens) if tokens else 0
        else:
            limit = expert_capacity(tokens, *how)
            kept = highest(logs, wanted, limit)
        return kept.gather(1, experts) & chosen, limit


def _pairs(logs: Tensor, experts: Tensor, chosen: Tensor) -> Tensor:
    """Return which pairs of token and expert are chosen, [N, E]."""
    return torch.zeros_like(logs, dtype=torch.bool).scatter(1, experts, chosen)


def _check_experts_choose(config: RouterConfig, name: str) -> None:
    if config.router_dropout_prob:
        raise ValueError(
            "router_dropout_prob leaves a token its second-best expert, so that tokens must choose, not experts, as "
            f"with {name}: set it to 0"
        )
    if config.capacity != "dropless":
        raise ValueError(
            f"capacity must be dropless where experts choose, as with {name}, not {config.capacity}: "
            "each takes its N k / E tokens as it is"
        )


def _check_tokens(x: Tensor, mask: Tensor | None, width: int) -> None:
    arguments.tensors(x=x)
    if x.ndim != 2 or x.shape[1] != width or not x.is_floating_point():
        raise ValueError(
            f"x must be floating-point tokens [N, {width}], but is {described(x)}: flatten sequences first"
        )
    check_mask(mask, x.shape[:1], x.device)


def _check_finite(logits: Tensor) -> None:
    if exporting():
        return
    finite = torch.isfinite(logits).all(dim=1)
    if not finite.all():
        token = int(finite.long().argmin())
        raise ValueError(
            f"logits of a router must be finite, but those of token {token} are {logits[token].tolist()[:4]}: "
            "look for NaN or infinity in x and in the router's weight"
        )


def _check_squares(x: Tensor) -> None:
    """Refuse tokens whose squares overflow, which the norm would map to zero."""
    if exporting() or bool(torch.dot(x.flatten(), x.flatten()).isfinite()):
        return  # one sum takes a sixth of the time of a sum for each token
    overflow = x.isfinite().all(1) & x.square().sum(1).isinf()
    if overflow.any():
        token = int(overflow.long().argmax())
        raise ValueError(
            f"squares of x must be finite in {x.dtype} for the router's norm, but token {token} reaches "
            f"{float(x[token].abs().max()):.0e}: scale it, or set use_router_ln to false"
        )
