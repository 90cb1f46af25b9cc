"""A layer whose tokens receive from a few others, by a flow that patterns make.

Shape suffixes: B examples, S tokens, C channels, R reduced width, V width of a channel's values.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import arguments, backends
from kernels.linear import linear
from organisms.flow.matrix.distance import distance_cost
from organisms.flow.matrix.flow import Flow, applied, flow_metrics, materialised
from organisms.flow.matrix.patterns import Mixture, mixed, mixture, pattern_metrics
from organisms.flow.matrix.positions import choose_positions, chosen_scores
from organisms.flow.past import LayerPast
from organisms.flow.sequences import check_sequence, generator_or_default, share
from organisms.flow.stretch import Stretch
from organisms.flow.whole_numbers import count
from organisms.layers.checks import described
from organisms.layers.initialisation import drawn
from organisms.layers.rotary import RoPE
from organisms.layers.steady import sigmoid

Product = Callable[[Tensor, Tensor], Tensor]  # of vectors [..., K] and a matrix [N, K]

NEAR, FAR = 1.0, -3.0  # decays of the first and the last pattern, before softplus


class FlowPlan(NamedTuple):
    """How far and how widely each token may receive, within the layer's window and K; each [B, S]."""

    reach: Tensor  # in tokens
    positions: Tensor  # in positions, of at most K


class Sought(NamedTuple):
    """What tokens look for and what they offer."""

    q: Tensor  # [B, C, S, R]
    k: Tensor  # [B, C, S, R]
    decay: Tensor  # of distance, [B, C, S]
    gain: Tensor  # logit of half the intensity, [B, C, S]
    chosen: Mixture


class FlowLayer(nn.Module):
    """y_t = W_o concat_c sum_s F_cts V_c x_s, with a flow matrix F_c [S, S] of K positions in each row.

    Patterns are reduced: pattern p and channel c is a matrix M_pc [R, R] between A x_t, what token t looks for, and
    B_c x_s, what s offers, with a decay d_pc of distance. A token mixes the K_p patterns of its largest logits G x_t,
    w_tp being their softmax, and receives from the K positions of its highest scores, of those in its window; T_n turns
    by the rotary angles of n positions (`organisms.layers.rotary`), so that patterns know directions:

        score_cts = sum_p w_tp ((A x_t)^T M_pc T_(s - t) B_c x_s / sqrt(R) - softplus(d_pc) log(1 + |t - s|))
        F_cts = 2 sigmoid(u_c x_t + b_c) softmax_s(score_cts over the K chosen s), else 0

    The factor before the softmax is the intensity. Work for each token: K_p C R^2 products for the patterns, W C R for
    the choice of positions among W (it has no gradient), K C R + K O for the rest, O being the output's width. A
    `FlowPlan` narrows this for each token: max(0, |t - s| - reach_t) is taken off a score, and log sigmoid(n_t - j)
    added to that of rank j = 0, 1, ..., so that about n_t positions stay.

    Ours: the document names patterns, mixing, intensity and top-k, but defines none of them.

    Parameters
    ----------
    input_dim, output_dim
        Widths of a token that comes in, D, and that goes out, O.
    num_patterns
        P.
    base_sparsity
        Share of the window that a row receives from, in (0, 1]: K is the share of W, rounded up, and without a window
        that of the sequence.
    num_channels
        C; each has a flow of its own.
    reduced_dim
        R.
    top_k_patterns
        K_p, at most P; fewer patterns have all of them.
    window
        W: a token receives at a distance under it; None: at any.
    top_k
        K itself, instead of a share: the same for all lengths, with or without a window.
    causal
        Whether a token receives from itself and earlier ones only.
    generator
        What the parameters are drawn from, on the CPU; None: a new one of seed 0.
    n_layers
        L, the layers of the model, for the scaled initialisation.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on, the sparsity no share, or `generator` no generator of the CPU.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        num_patterns: int,
        base_sparsity: float = 0.1,
        *,
        num_channels: int = 2,
        reduced_dim: int = 8,
        top_k_patterns: int = 2,
        window: int | None = None,
        top_k: int | None = None,
        causal: bool = False,
        generator: torch.Generator | None = None,
        n_layers: int = 1,
    ) -> None:
        super().__init__()
        D, O = count("input_dim", input_dim), count("output_dim", output_dim)  # noqa: E741 - the equation's names
        P, C, R = (
            count("num_patterns", num_patterns),
            count("num_channels", num_channels),
            count("reduced_dim", reduced_dim),
        )
        self.input_dim, self.output_dim, self.num_patterns = D, O, P
        self.num_channels, self.reduced_dim, self.causal = C, R, causal
        self.base_sparsity = share("base_sparsity", base_sparsity)
        self.top_k_patterns = min(count("top_k_patterns", top_k_patterns), P)
        self.window = None if window is None else count("window", window)
        self.top_k = None if top_k is None else count("top_k", top_k)
        self.rope = RoPE(R - R % 2) if R > 1 else None
        stream, V = generator_or_default(generator), -(-O // C)
        self.mixer = nn.Parameter(drawn((P, D), (D, P), "xavier_normal", stream))
        self.receive = nn.Parameter(drawn((R, D), (D, R), "xavier_normal", stream))
        self.send = nn.Parameter(drawn((C * R, D), (D, R), "xavier_normal", stream))
        self.patterns = nn.Parameter(drawn((P, C, R, R), (R, R), "xavier_normal", stream))
        # From near to far, so that patterns differ from the first step on.
        self.decays = nn.Parameter(torch.linspace(NEAR, FAR, P)[:, None].repeat(1, C))
        self.intensity = nn.Parameter(torch.zeros(C, D))
        self.intensity_bias = nn.Parameter(torch.zeros(C))
        self.values = nn.Parameter(drawn((C * V, D), (D, V), "xavier_normal", stream))
        self.write = nn.Parameter(
            drawn((O, C * V), (C * V, O), "scaled_xavier", stream, writes_of=count("n_layers", n_layers))
        )

    def forward(
        self, x: Float[Tensor, "B S D"], *, materialize: bool = True, plan: FlowPlan | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the flow matrices [B, C, S, S], or what they move, y [B, S, O]; and metrics.

        `apply_flow` makes the second of the first. Metrics have no gradient: ``pattern_utilization`` [P],
        ``pattern_entropy``, and ``flow_span``, ``flow_locality``, ``flow_positions`` and ``flow_intensity``, [C].

        Parameters
        ----------
        x
            Tokens, [B, S, D].
        materialize
            Whether to return the matrices. Without, none is built, and memory grows with S, not with S x S.
        plan
            Reach and positions of each token, as `ContextAwareFlowRouter` gives them; None: all of the window, K.

        Raises
        ------
        ValueError
            If `x` or `plan` has another shape, dtype or device than this, that of the parameters; if the matrices, or
            what is chosen of them, would take more than 16 GiB.
        """
        check_sequence("x", x, self.input_dim, "input_dim", self.receive)
        x = x.to(self.receive.dtype)  # under autocast it may have another
        if plan is not None:
            _check_plan(plan, x)
        B, S, _ = x.shape
        C, K = self.num_channels, self.positions_of(S)
        # Before anything is computed: choosing takes long where this is what cannot be held.
        arguments.allocatable("x", (B, C, S, S) if materialize else (B, C, S, K, self.reduced_dim), x.dtype)
        with backends.exact(x):  # scores in half precision would choose other positions
            flow, metrics = self._flow(x, plan)
        if materialize:
            return materialised(flow), metrics
        return self._written(applied(flow, self._values(x))), metrics

    def apply_flow(
        self, flow_matrix: Float[Tensor, "B C S S"], x: Float[Tensor, "B S D"]
    ) -> Float[Tensor, "B S O"]:
        """Return y = W_o concat_c F_c V_c x, what flow matrices move from token to token.

        Raises
        ------
        ValueError
            If `x` is no sequence of this layer, or there are not C matrices for each.
        """
        check_sequence("x", x, self.input_dim, "input_dim", self.receive)
        wanted = (len(x), self.num_channels, x.shape[1], x.shape[1])
        if flow_matrix.shape != wanted:
            raise ValueError(
                f"flow_matrix must be {list(wanted)} for this x, but is {described(flow_matrix)}"
            )
        return self._written(flow_matrix @ self._values(x))

    def extended(
        self, h: Float[Tensor, "n S D"], plan: FlowPlan | None, stretch: Stretch, past: LayerPast
    ) -> Float[Tensor, "n S O"]:
        """Return what new tokens receive from the windows of their sequences, [n, S, O].

        Parameters
        ----------
        h
            The tokens.
        plan
            Theirs; None: all have the whole window.
        stretch
            Whose they are.
        past
            What the tokens before offer, to which that of the new ones is added.
        """
        sought = self._sought(h, F.linear, lambda each: stretch.rotated(each, self.rope))
        senders = past.write(stretch, "senders", sought.k)
        values = past.write(stretch, "moved", self._values(h, F.linear))
        far = None if plan is None else plan.reach[:, None, :, None]
        away_n1SJ = stretch.distance.unsqueeze(1).to(h.dtype)
        scores = stretch.scored(sought.q, senders) - distance_cost(away_n1SJ, sought.decay.unsqueeze(-1), far)
        best = scores.masked_fill(~stretch.seen.unsqueeze(1), -torch.inf).topk(
            min(self.positions_of(0), scores.shape[-1])
        )
        weights_nCSK = 2 * sigmoid(sought.gain).unsqueeze(-1) * _damped(best.values, plan).softmax(-1)
        weights_nCSJ = torch.zeros_like(scores).scatter(-1, best.indices, weights_nCSK)
        return F.linear(stretch.mixed(weights_nCSJ, values).transpose(1, 2).flatten(2), self.write)

    def positions_of(self, length: int) -> int:
        """Return K for a sequence of this length: how many positions each row of a flow holds."""
        return self.top_k or max(1, math.ceil(self.base_sparsity * (self.window or length)))

    def _flow(self, x: Tensor, plan: FlowPlan | None) -> tuple[Flow, dict[str, Tensor]]:
        S = x.shape[1]
        sought = self._sought(x, linear, lambda each: each if self.rope is None else self.rope.rotated(each))
        q_BCSR, k_BCSR, decay_BCS = sought.q, sought.k, sought.decay
        reach = None if plan is None else plan.reach
        positions = choose_positions(
            q_BCSR,
            k_BCSR,
            decay_BCS,
            reach,
            top_k=self.positions_of(S),
            window=self.window,
            causal=self.causal,
        )
        scores = chosen_scores(q_BCSR, k_BCSR, decay_BCS, reach, positions)
        intensity = 2 * sought.gain.sigmoid()
        flow = Flow(intensity.unsqueeze(-1) * _damped(scores, plan).softmax(-1), positions)
        return flow, pattern_metrics(sought.chosen, self.num_patterns) | flow_metrics(flow, intensity)

    def _sought(self, x: Tensor, product: Product, turned: Callable[[Tensor], Tensor]) -> Sought:
        C, R, P = self.num_channels, self.reduced_dim, self.num_patterns
        # Narrow maps of the same tokens are one, which is read but once.
        maps = torch.cat([self.mixer, self.receive, self.send, self.intensity])
        logits, receive, send, gain = product(x, maps).split((P, R, C * R, C), -1)
        chosen = mixture(logits.flatten(0, 1), self.top_k_patterns)
        # One bag for matrices and decays: both belong to a pattern.
        patterns = torch.cat([self.patterns.reshape(P, C * R * R), F.softplus(self.decays)], 1)
        mixed_BSZ = mixed(chosen, patterns).view(*x.shape[:2], -1)
        matrices, decays = mixed_BSZ.split((C * R * R, C), -1)
        receive_BS1R = receive.unsqueeze(2) * R**-0.5
        q_BCSR = torch.einsum("bsir,bscrk->bcsk", receive_BS1R, matrices.unflatten(-1, (C, R, R)))
        k_BCSR = send.unflatten(-1, (C, R)).transpose(1, 2)
        gain_BCS = (gain + self.intensity_bias).transpose(1, 2)
        return Sought(turned(q_BCSR), turned(k_BCSR), decays.transpose(1, 2), gain_BCS, chosen)

    def _values(self, x: Tensor, product: Product = linear) -> Tensor:
        values = product(x, self.values).to(self.values.dtype)
        return values.unflatten(-1, (self.num_channels, -1)).transpose(1, 2).contiguous()

    def _written(self, moved: Tensor) -> Tensor:
        return linear(moved.transpose(1, 2).flatten(2), self.write)


def _damped(scores: Tensor, plan: FlowPlan | None) -> Tensor:
    """Return scores [B, C, S, K] less what a plan takes of those beyond its number of positions."""
    if plan is None:
        return scores
    ranks = torch.arange(scores.shape[-1], device=scores.device)
    return scores + F.logsigmoid(plan.positions[:, None, :, None] - ranks)


def _check_plan(plan: FlowPlan, x: Tensor) -> None:
    for name, each in zip(plan._fields, plan, strict=True):
        if (each.shape, each.dtype, each.device) != (x.shape[:2], x.dtype, x.device):
            wanted = f"{x.dtype} {list(x.shape[:2])} on {x.device}"
            raise ValueError(f"{name} of plan must be {wanted}, as x is, but is {described(each)}")
