"""How far and how widely each token receives, read from what surrounds it.

Shape suffixes: B examples, S tokens, D width.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import backends
from kernels.linear import linear
from organisms.flow.flow_layer import FlowPlan
from organisms.flow.sequences import check_sequence, generator_or_default, share
from organisms.flow.whole_numbers import count
from organisms.layers.initialisation import drawn
from organisms.layers.steady import sigmoid

OPEN = 2.0  # logit of both shares at the start: 0.88 of the window and of the positions


class ContextAwareFlowRouter(nn.Module):
    """The plan of each token: reach_t = W sigmoid(a (x_t | m_t) + a_0), positions_t = K sigmoid(b (x_t | m_t) + b_0).

    The context m_t is the mean of the tokens in the window of t, with a causal router of those up to t; W is the window
    and K the share `base_sparsity` of it, rounded up, which a layer of the same window holds. A mean costs
    the same in any window. The plan is differentiable, and sizes stay static.

    Ours: the document says what is adapted, and to what, but not how.

    Parameters
    ----------
    input_dim
        D.
    window
        W, in tokens; None: as long as the sequence.
    base_sparsity
        Share of the window that a row receives from at most, in (0, 1].
    top_k
        K itself, instead of a share.
    causal
        Whether the context of a token ends with it.
    generator
        What the matrix is drawn from, on the CPU; None: a new one of seed 0.

    Raises
    ------
    ValueError
        If a size is no whole number from 1 on, the sparsity no share, or `generator` no generator of the CPU.
    """

    def __init__(
        self,
        input_dim: int,
        *,
        window: int | None = None,
        base_sparsity: float = 0.1,
        top_k: int | None = None,
        causal: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.input_dim, self.causal = count("input_dim", input_dim), causal
        self.window = None if window is None else count("window", window)
        self.base_sparsity = share("base_sparsity", base_sparsity)
        self.top_k = None if top_k is None else count("top_k", top_k)
        width = 2 * self.input_dim
        self.weight = nn.Parameter(
            drawn((2, width), (width, 2), "xavier_normal", generator_or_default(generator))
        )
        self.bias = nn.Parameter(torch.full((2,), OPEN))

    def forward(self, x: Float[Tensor, "B S D"]) -> tuple[FlowPlan, dict[str, Tensor]]:
        """Return the plan of every token, [B, S] each, and its means ``router_reach`` and ``router_positions``.

        Raises
        ------
        ValueError
            If `x` has another shape, dtype or device than this, that of the parameters.
        """
        check_sequence("x", x, self.input_dim, "input_dim", self.weight)
        x = x.to(self.weight.dtype)  # under autocast it may have another
        window = self.window or x.shape[1]
        around = window_mean(x, window, self.causal)
        with backends.exact(x):
            shares = linear(torch.cat([x, around], -1), self.weight, self.bias).sigmoid()
        plan = self._plan(shares, window)
        means = {f"router_{name}": each.detach().mean() for name, each in plan._asdict().items()}
        return plan, means

    def extended(self, h: Float[Tensor, "n S D"], around: Float[Tensor, "n S D"], window: int) -> FlowPlan:
        """Return the plan of new tokens, [n, S] each.

        Parameters
        ----------
        h
            The tokens.
        around
            The mean of the window of each.
        window
            W.
        """
        shares = sigmoid(F.linear(torch.cat([h, around], -1), self.weight, self.bias))
        return self._plan(shares, window)

    def _plan(self, shares: Tensor, window: int) -> FlowPlan:
        top_k = self.top_k or max(1, math.ceil(self.base_sparsity * window))
        return FlowPlan(window * shares[..., 0], top_k * shares[..., 1])


def window_mean(x: Float[Tensor, "B S D"], window: int, causal: bool) -> Float[Tensor, "B S D"]:
    """Return the mean of the tokens at a distance under the window, with `causal` of those up to each.

    Parameters
    ----------
    x
        Tokens, [B, S, D].
    window
        In tokens, at least 1.
    causal
        Whether later tokens are left out.
    """
    window = min(window, x.shape[1])
    after = 0 if causal else window - 1
    length = window + after
    ones = x.new_ones(1, x.shape[1], 1)
    sums, counts = (_trailing_sum(F.pad(each, (0, 0, 0, after)), length)[:, after:] for each in (x, ones))
    return sums / counts


def _trailing_sum(x: Tensor, length: int) -> Tensor:
    """Return the sum of the last tokens up to each: the end of one block and the start of the next (van Herk 1992).

    No token outside of the sum takes part in it, as one would in the difference of two running sums. A sum that is one
    whole block is counted twice, of tokens and of ones alike, so that their ratio is the mean.
    """
    blocks = F.pad(x, (0, 0, length, -x.shape[1] % length)).unflatten(1, (-1, length))
    starts = blocks.cumsum(2).flatten(1, 2)
    ends = blocks.flip(2).cumsum(2).flip(2).flatten(1, 2)
    return starts[:, length : length + x.shape[1]] + ends[:, 1 : 1 + x.shape[1]]
