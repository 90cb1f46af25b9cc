"""A layer that reads a stream: its heads attend to what is in sight and to tubes of what is not.

Shape suffixes: B sequences, S tokens of a chunk, n of a piece of it, N in sight before it, T of a block, D width, C
slots, M tubes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels.kernel import Kernel, Visible
from organisms.layers.dense_ffn import DenseFFN
from organisms.pseudopods.heads import PseudopodAttention
from organisms.pseudopods.recording import Metrics
from organisms.pseudopods.tubes import TubeRules, Tubes


class StreamLayer(nn.Module):
    """x <- x + pseudopods(norm(x)), x <- x + ffn(norm(x)), where one softmax chooses among tokens in sight and tubes.

    The stream is read in blocks of T tokens. With h = norm(x), a token at i sees those of its own block up to itself,
    the whole block before, and M tubes, each of which holds the h of an older token:

        score_ij = q_i k_j - slope_c (i - j),    score_im = q_i k_m + log D_m,    D_m of `TubeRules`

    so that a tube that nothing flows through fades with distance as what is in sight does (Press et al. 2022, ALiBi).
    When a block is complete, tubes adapt to the mean weight that its tokens and heads gave to each, and those of the
    block before are opened, token t with the conductance sigmoid(gate h_t + b). Tubes hold tokens, not keys and
    values, so that they mean the same to a head that is born later. How tubes thicken is taken as given by gradients.

    Parameters
    ----------
    pseudopods
        The heads.
    feed_forward
        The network behind them.
    rules
        How tubes live, one step a block.
    block
        T.
    dropout
        Share of what heads and network write that training drops.
    kernel
        What computes maps and attention.
    """

    def __init__(
        self,
        pseudopods: PseudopodAttention,
        feed_forward: DenseFFN,
        rules: TubeRules,
        block: int,
        dropout: float,
        kernel: Kernel,
    ) -> None:
        super().__init__()
        C, _, D = pseudopods.query.shape
        self.pseudopods, self.feed_forward, self.rules, self.block = pseudopods, feed_forward, rules, block
        self.kernel = kernel
        self.norm1, self.norm2, self.dropout = nn.LayerNorm(D), nn.LayerNorm(D), nn.Dropout(dropout)
        # The slopes of ALiBi, of which softplus is taken.
        self.slope = nn.Parameter((2.0 ** (-8.0 * torch.arange(1, C + 1) / C)).expm1().log())
        self.gate, self.gate_bias = nn.Parameter(torch.zeros(1, D)), nn.Parameter(torch.zeros(1))

    def forward(
        self, x: Tensor, under_way: Tensor, tubes: Tubes, before: Tensor, record: Metrics | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tubes, Tensor]]:
        """Return the residual stream after the layer, [B, S, D], and what is left behind.

        Parameters
        ----------
        x
            The residual stream, [B, S, D].
        under_way
            What has been read of the block under way, [B, P, D].
        tubes
            Of the tokens out of sight.
        before
            The block before, [B, T, D], or nothing, [B, 0, D].
        record
            Is told ``written``, how strongly each slot writes, [C].
        """
        h, attended = self.norm1(x).to(self.gate.dtype), []  # under autocast it may have another
        if self.pseudopods.watched and torch.is_grad_enabled():
            self.pseudopods.seen = self._in_sight(h.detach(), under_way.shape[1])
        for piece in _pieces(h, self.block - under_way.shape[1], self.block):
            found, flux = self._attend(piece, torch.cat([before, under_way], 1), tubes)
            attended.append(found)
            tubes = Tubes(tubes.content, tubes.conductance, tubes.flux + flux / self.block)
            under_way = torch.cat([under_way, piece], 1)
            if under_way.shape[1] == self.block:
                tubes, before, under_way = self._store(tubes, before), under_way, under_way[:, :0]
        whole = torch.cat(attended, 2)
        if record is not None:
            with torch.no_grad():
                record("written", self.pseudopods.strengths(whole.detach()))
        x = x + self.dropout(self.pseudopods.write(whole, self.kernel))
        # A chunk may end before anything is stored; the gate has a gradient all the same, as distributed runs need.
        x = x + 0 * (self.gate.sum() + self.gate_bias.sum())
        return x + self.dropout(self.feed_forward(self.norm2(x), kernel=self.kernel)), (
            under_way,
            tubes,
            before,
        )

    def _in_sight(self, h: Tensor, first: int) -> tuple[Tensor, Visible]:
        """Return the last two blocks of a chunk, and which of their tokens see which; tubes are not among them."""
        places = torch.arange(first, first + h.shape[1], device=h.device)[-2 * self.block :]
        distances = places[:, None] - places
        blocks = places[:, None] // self.block - places // self.block
        slopes = F.softplus(self.slope.detach())[:, None, None]
        bias_CSS = (-slopes * distances).masked_fill((distances < 0) | (blocks > 1), -torch.inf)
        return h[:, -len(places) :], Visible(bias=bias_CSS)

    def _attend(self, h_BnD: Tensor, in_sight_BND: Tensor, tubes: Tubes) -> tuple[Tensor, Tensor]:
        """Return what each head attends to, [B, C, n, W], and what flows through the tubes, summed over n, [B, M]."""
        heads, M, kernel = self.pseudopods, self.rules.capacity, self.kernel
        seen = torch.cat([tubes.content, in_sight_BND, h_BnD], 1)
        bias = self._bias(tubes.conductance, h_BnD.shape[1], in_sight_BND.shape[1])
        values = heads.values(seen, kernel).to(h_BnD.dtype)
        attended, weights_BCnm = kernel.weighted(
            heads.queries(h_BnD, kernel), heads.keys(seen, kernel), values, Visible(bias=bias)
        )
        living = (heads.ranks > 0).to(weights_BCnm.dtype)
        flux_BCM = weights_BCnm[..., :M].detach().sum(2)
        return attended, ((flux_BCM * living[:, None]).sum(1) / living.sum().clamp(min=1)).to(h_BnD.dtype)

    def _bias(self, conductance_BM: Tensor, n: int, N: int) -> Tensor:
        """Return what is added to the scores, [B, C, n, M + N + n]: -inf where there is no tube, or a later token."""
        there = conductance_BM > 0
        thick = torch.where(there, conductance_BM, 1.0).log().masked_fill(~there, -torch.inf)
        places = torch.arange(N + n, device=conductance_BM.device)
        distances = places[N:, None] - places
        slopes = F.softplus(self.slope)[:, None, None]
        near = (-slopes * distances).masked_fill(distances < 0, -torch.inf)
        B, C = len(conductance_BM), len(self.slope)
        return torch.cat([thick[:, None, None].expand(B, C, n, -1), near.expand(B, C, n, N + n)], -1)

    def _store(self, tubes: Tubes, before: Tensor) -> Tubes:
        """Return the tubes when a block is complete and the one before it gets out of sight."""
        if not before.shape[1]:
            return tubes
        newest_first = before.flip(1)
        weight = self.kernel.product(newest_first, self.gate, self.gate_bias).squeeze(-1).sigmoid()
        return self.rules.opened(tubes, newest_first, weight.to(before.dtype))[0]


def _pieces(h: Tensor, first: int, block: int) -> Iterator[Tensor]:
    """Yield the tokens up to the end of the block under way, then block by block."""
    yield h[:, :first]
    if h.shape[1] > first:
        yield from h[:, first:].split(block, 1)
