"""A mixture-of-experts feed-forward layer: route, dispatch, compute, combine.

Shape suffixes: B sequences, S tokens of each, N = B S, D width of the residual stream, M rows that experts compute.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kernels import backends
from kernels.exporting import exporting
from organisms.experts.config import MoEConfig
from organisms.experts.dispatch.all_experts import by_computing_all
from organisms.experts.dispatch.dispatch import DISPATCH
from organisms.experts.dispatch.expert_ffn import ExpertFFN
from organisms.experts.routing.build import build_router
from organisms.experts.routing.decision import RoutingInfo
from organisms.layers.checks import check_construction, check_tokens, zeroed
from organisms.layers.dense_ffn import DenseFFN
from organisms.layers.redrawn import drawn_once, state_of


class MoEFeedForward(nn.Module):
    """y_n = sum over the kept choices (n, k) of w_nk FFN_e(n,k)(x_n), plus the shared experts' FFN(x_n).

    Shared experts, whose outputs are added unweighted, are computed as one network so many times as wide (DeepSeekMoE,
    Dai et al. 2024). A dropped token, which no expert computes, gets ``fallback_weight`` times the output of a dense
    network if the policy is "dense", else that of the shared experts alone. Under autocast all matrix products but the
    router's are in the dtype of autocast.

    Parameters
    ----------
    config
        Router, experts and fallback.
    generator
        What the parameters are drawn from, on the CPU.
    n_layers
        L, the layers of the model, for the scaled initialisations.

    Raises
    ------
    ValueError
        If one of them is of another type, or the router cannot be built (`build_router`).
    """

    def __init__(self, config: MoEConfig, generator: torch.Generator, *, n_layers: int = 1) -> None:
        super().__init__()
        check_construction(config, MoEConfig, generator, n_layers)
        self.config = config
        expert, n_shared = config.expert, config.router.n_shared
        self.router = build_router(config.router, config.d_model, generator=generator)
        self.experts = ExpertFFN(expert, config.router.n_experts, generator, n_layers=n_layers)
        self.shared = self.fallback = None
        if n_shared:
            wide = expert.model_copy(update={"d_hidden": n_shared * expert.d_hidden})
            self.shared = DenseFFN(wide, generator, n_layers=n_layers)
        if config.fallback_policy == "dense":
            self.fallback = DenseFFN(expert, generator, n_layers=n_layers)

    def forward(
        self,
        x: Float[Tensor, "B S D"],
        mask: Bool[Tensor, "B S"] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "B S D"], dict[str, Tensor]]:
        """Return the outputs and the router's metrics.

        Parameters
        ----------
        x
            Tokens, [B, S, D]; B and S may be zero.
        mask
            False where a token is padding, [B, S]: no expert computes it, no loss counts it, and its output is zero,
            whatever it holds; None: nowhere.
        generator
            What noise and dropout are drawn from in training, on the device of `x`; not read without them.

        Returns
        -------
        y, metrics
            [B, S, D] of the dtype of `x`, and the metrics that `organisms.experts.routing.metrics` lists;
            ``aux_total`` is to be added to the loss.

        Raises
        ------
        ValueError
            If `x` or `mask` has another shape, dtype or device than this, that of the experts; if a token is not
            finite (which the router finds by its logits, of which there are few); if the generator is missing.
        """
        check_tokens("x", x, mask, self.config.d_model, "d_model", self.experts.W1)
        before = state_of(generator)
        real = None if mask is None else mask.flatten()
        x_ND = zeroed(x.flatten(0, 1), real)
        routing = self.router(x_ND, real, generator)
        x_ND = backends.operand(x_ND, self.experts.W1)
        y_ND = self._routed(x_ND, routing, generator)
        if self.shared is not None:
            y_ND = y_ND + self.shared(x_ND, generator)
        y_ND = drawn_once(y_ND, before, generator)
        return zeroed(y_ND, real).view_as(x).to(x.dtype), dict(routing.metrics)

    def each(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Return the outputs of tokens, [N, D], in evaluation, without metrics: for a few tokens at a time.

        The output of a token does not depend on the others, in no bit where the rows of a matrix product do not
        (Intel's MKL in its reproducible mode): each expert is a product of its own, of torch's.

        Raises
        ------
        ValueError
            If experts choose their tokens, or tokens are dealt round robin.
        """
        experts_NK, weights_NK = self.router.decided(x)
        y_NKD = self._of(x, experts_NK)
        y_ND = self.shared.each(x) if self.shared is not None else torch.zeros_like(x)
        for place in range(experts_NK.shape[1]):  # in the order of the choices, whatever is computed first
            y_ND = y_ND + weights_NK[:, place, None].to(x) * y_NKD[:, place]
        return y_ND

    def _of(self, x_ND: Tensor, experts_NK: Tensor) -> Tensor:
        """Return the output of each chosen expert for each token, [N, K, D]."""
        own, (N, K) = self.experts, experts_NK.shape
        expert_M = experts_NK.flatten()
        place_M = expert_M.argsort(stable=True)
        counts = torch.bincount(expert_M, minlength=len(own.W1)).tolist()
        rows_MD = x_ND.index_select(0, place_M // K)
        parts = [
            _affine(own.activation.each(_affine(rows, own.W1, own.b1, expert)), own.W2, own.b2, expert)
            for expert, rows in enumerate(rows_MD.split(counts))
            if len(rows)
        ]
        return torch.empty_like(rows_MD).index_copy_(0, place_M, torch.cat(parts)).view(N, K, -1)

    def _routed(self, x_ND: Tensor, routing: RoutingInfo, generator: torch.Generator | None) -> Tensor:
        if exporting() and not self.training:
            return self._recorded(x_ND, routing)
        mode = self.config.router.dispatch_mode
        padded = "bmm" if self.config.expert.grouped_gemm else "einsum"
        compute = "grouped_gemm" if mode == "sorted" else padded

        def experts(rows_MD: Tensor, offsets_E: Tensor | None) -> Tensor:
            return self.experts(rows_MD, offsets_E, compute=compute, generator=generator)

        y_ND = DISPATCH[mode](x_ND, routing, experts)
        if self.fallback is None:
            return y_ND
        dropped = routing.dropped_tokens.nonzero().squeeze(1)
        outputs = self.fallback(x_ND.index_select(0, dropped), generator)
        # No token is dropped twice, so that the order of this sum does not matter.
        return y_ND.index_add(0, dropped, self.config.fallback_weight * outputs)

    def _recorded(self, x_ND: Tensor, routing: RoutingInfo) -> Tensor:
        y_ND = by_computing_all(x_ND, routing.combine_weights, self.experts.matrices())
        if self.fallback is None:
            return y_ND
        dropped_N = routing.dropped_tokens.unsqueeze(1).to(y_ND.dtype)
        return y_ND + self.config.fallback_weight * dropped_N * self.fallback(x_ND)


def _affine(x: Tensor, weights: Tensor, biases: Tensor | None, expert: int) -> Tensor:
    product = x @ weights[expert]
    return product if biases is None else product + biases[expert]


def build_moe(
    config: MoEConfig, *, generator: torch.Generator | None = None, n_layers: int = 1
) -> MoEFeedForward:
    """Return a new mixture-of-experts feed-forward layer.

    Parameters
    ----------
    config
        Router, experts and fallback.
    generator
        What the parameters are drawn from, on the CPU; None: a new one of seed 0, so that the same configuration
        gives the same parameters.
    n_layers
        L, the layers of the model, for the scaled initialisations.

    Raises
    ------
    ValueError
        If one of them is of another type, or the router cannot be built (`build_router`).

    Examples
    --------
    >>> moe = build_moe(MoEConfig(d_model=8, router=RouterConfig(n_experts=4), expert=ExpertConfig(d_hidden=16)))
    >>> output, metrics = moe(torch.randn(2, 5, 8))
    >>> output.shape, float(metrics["fraction_dropped_tokens"])
    (torch.Size([2, 5, 8]), 0.0)
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    return MoEFeedForward(config, generator, n_layers=n_layers)
