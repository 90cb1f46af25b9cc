"""Attention to the tokens of a chunk and to tubes that hold earlier ones, in one softmax.

Shape suffixes: N chunks, C heads, T tokens of a chunk, M tubes, R and W inner sizes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.attention import AttentionStatistics
from kernels.kernel import Kernel, Visible


@dataclass(frozen=True, eq=False)
class Recalling:
    """What C heads attend to in N chunks.

    With scale s_c and window w_c of head c, the token at i sees those at j <= i of its chunk with i - j < w_c, and all
    tubes, whatever its window:

        score_ij = s_c q_i k_j,    score_im = s_c q_i k_m + log D_m
    """

    output: Tensor  # the mixtures of values, [N, C, T, W]
    weights: Tensor  # [N, C, T, M + T], tubes first

    @torch.no_grad()
    def statistics(self) -> AttentionStatistics:
        """Return where each head attends, where a tube lies one place before the chunk; over queries, as in attention.

        A tube may hold a token of any age: that it is out of sight is all that span and locality tell.
        """
        p, (T, seen) = self.weights.double(), self.weights.shape[-2:]
        own = torch.arange(T, dtype=p.dtype, device=p.device)
        places = torch.cat([own.new_full((seen - T,), -1.0), own])
        apart = (own[:, None] - places).abs()
        middle = (p @ places).unsqueeze(-1)
        each = [
            (p * apart).sum(-1),
            (p * (places - middle).square()).sum(-1).sqrt(),
            -torch.xlogy(p, p).sum(-1),
            p.square().sum(-1),
            p.amax(-1),
        ]
        return AttentionStatistics(*(numbers.mean((0, 2)) for numbers in each))


def recalling(
    kernel: Kernel,
    q_NCTR: Tensor,
    k: Tensor,
    v: Tensor,
    conductance_NM: Tensor,
    scale_C: Tensor,
    window_C: Tensor,
) -> Recalling:
    """Attend.

    Parameters
    ----------
    kernel
        What computes the softmax.
    q_NCTR
        Queries of the tokens.
    k, v
        Keys and values of tubes and tokens, [N, C, M + T, *].
    conductance_NM
        D of the tubes, 0 where there is none.
    scale_C, window_C
        Of each head, the window in tokens.
    """
    T, there = q_NCTR.shape[2], conductance_NM > 0
    thick = torch.where(there, conductance_NM, 1.0).log().masked_fill(~there, -torch.inf)
    places = torch.arange(T, device=q_NCTR.device)
    distance = places[:, None] - places
    hidden = (distance < 0) | (distance >= window_C[:, None, None])
    near = torch.zeros_like(hidden, dtype=q_NCTR.dtype).masked_fill(hidden, -torch.inf)
    N, C, M = q_NCTR.shape[0], len(scale_C), conductance_NM.shape[1]
    bias = torch.cat([thick[:, None, None].expand(N, C, T, M), near.expand(N, C, T, T)], -1)
    return Recalling(*kernel.weighted(q_NCTR, k, v, Visible(bias=bias, scale=scale_C)))
