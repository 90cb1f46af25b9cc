"""A feed-forward layer of experts: route, dispatch, answer, combine.

Shape suffixes: B sequences, S tokens of each, N = B S, D width of the residual stream, M rows that experts compute.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kernels import backends
from organisms.experts.config import MoEConfig
from organisms.experts.dispatch.dispatch import DISPATCH
from organisms.experts.dispatch.expert_ffn import ExpertFFN
from organisms.experts.routing.build import build_router
from organisms.experts.routing.decision import RoutingInfo
from organisms.layers.checks import check_making, check_tokens, zeroed
from organisms.layers.dense_ffn import DenseFFN


class MoEFeedForward(nn.Module):
    """y_n = sum over the kept choices (n, k) of w_nk FFN_e(n,k)(x_n), plus the shared experts' FFN(x_n).

    S shared experts, whose answers would be added up unweighted, are one network S times as wide (DeepSeekMoE, Dai
    et al. 2024). A token that no expert computes, for want of a place or because none took it, gets
    ``fallback_weight`` times the answer of a dense network if the policy is "dense", else nothing beside the shared
    experts. Under autocast all products but the router's are in the dtype that autocast wants.

    Parameters
    ----------
    config
        Router, experts and fallback.
    generator
        What the parameters are drawn from, on the CPU.
    n_layers
        L of the model that this layer stands in, for the scaled initialisations.

    Raises
    ------
    ValueError
        If one of these is not so, or the import path of a router leads to none.
    """

    def __init__(self, config: MoEConfig, generator: torch.Generator, *, n_layers: int = 1) -> None:
        super().__init__()
        check_making(config, MoEConfig, generator, n_layers)
        self.config = config
        expert, shared = config.expert, config.router.n_shared
        self.router = build_router(config.router, config.d_model, generator=generator)
        self.experts = ExpertFFN(expert, config.router.n_experts, generator, n_layers=n_layers)
        self.shared = self.fallback = None
        if shared:
            wide = expert.model_copy(update={"d_hidden": shared * expert.d_hidden})
            self.shared = DenseFFN(wide, generator, n_layers=n_layers)
        if config.fallback_policy == "dense":
            self.fallback = DenseFFN(expert, generator, n_layers=n_layers)

    def forward(
        self,
        x: Float[Tensor, "B S D"],
        mask: Bool[Tensor, "B S"] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "B S D"], dict[str, Tensor]]:
        """Give the outputs, and the numbers by which a router is watched.

        Parameters
        ----------
        x
            Tokens, [B, S, D]; B and S may be zero.
        mask
            False where a token is padding: it is computed by no expert, counts in no loss, and its output is zero,
            whatever it holds, [B, S]; None: nowhere.
        generator
            What noise and dropout are drawn from in training, on the device of `x`; not read without them.

        Returns
        -------
        y, metrics
            [B, S, D] of the dtype of `x`, and what `organisms.experts.routing.metrics` says; ``aux_total``
            belongs to the loss.

        Raises
        ------
        ValueError
            If `x` or `mask` has another shape, dtype or device than this, that of the experts; if a token is not
            finite (the router sees to it, whose logits are few and not finite if one number of a token is not); if
            the generator is missing.
        """
        check_tokens("x", x, mask, self.config.d_model, "d_model", self.experts.W1)
        real = None if mask is None else mask.flatten()
        x_ND = zeroed(x.flatten(0, 1), real)
        routing = self.router(x_ND, real, generator)
        x_ND = backends.operand(x_ND, self.experts.W1)
        y_ND = self._routed(x_ND, routing, generator)
        if self.shared is not None:
            y_ND = y_ND + self.shared(x_ND, generator)
        return zeroed(y_ND, real).view_as(x).to(x.dtype), dict(routing.metrics)

    def _routed(self, x_ND: Tensor, routing: RoutingInfo, generator: torch.Generator | None) -> Tensor:
        mode = self.config.router.dispatch_mode
        padded = "bmm" if self.config.expert.grouped_gemm else "einsum"
        compute = "grouped_gemm" if mode == "sorted" else padded

        def answer(rows_MD: Tensor, offsets_E: Tensor | None) -> Tensor:
            return self.experts(rows_MD, offsets_E, compute=compute, generator=generator)

        y_ND = DISPATCH[mode](x_ND, routing, answer)
        if self.fallback is None:
            return y_ND
        dropped = routing.dropped_tokens.nonzero().squeeze(1)
        answers = self.fallback(x_ND.index_select(0, dropped), generator)
        # Each token is dropped once at most, so that this adds to no place twice.
        return y_ND.index_add(0, dropped, self.config.fallback_weight * answers)


def build_moe(
    config: MoEConfig, *, generator: torch.Generator | None = None, n_layers: int = 1
) -> MoEFeedForward:
    """Build a feed-forward layer of experts.

    Parameters
    ----------
    config
        Router, experts and fallback.
    generator
        What the parameters are drawn from, on the CPU; None: a new one of seed 0, so that the same configuration
        gives the same parameters.
    n_layers
        L of the model that this layer stands in, for the scaled initialisations.

    Raises
    ------
    ValueError
        If one of these is not so, or the import path of a router leads to none.

    Examples
    --------
    >>> moe = build_moe(MoEConfig(d_model=8, router=RouterConfig(n_experts=4), expert=ExpertConfig(d_hidden=16)))
    >>> output, metrics = moe(torch.randn(2, 5, 8))
    >>> output.shape, float(metrics["fraction_dropped_tokens"])
    (torch.Size([2, 5, 8]), 0.0)
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    return MoEFeedForward(config, generator, n_layers=n_layers)
