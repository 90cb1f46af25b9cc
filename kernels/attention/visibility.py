"""Which keys the queries may see, in the form in which every path of `attention` takes it."""

from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kernels.exporting import exporting


def hidden(dtype: torch.dtype) -> float:
    """Return what is added to the score of a hidden key.

    Finite, for 0 x -inf would spoil the entropy, and small enough that several of them can be added. Half of it is
    under every score that can be computed with and over every hidden one.
    """
    return torch.finfo(dtype).min / 4


def bias(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an additive mask for scores: 0 where a key is seen, else `hidden`."""
    return torch.full(seen.shape, hidden(dtype), dtype=dtype, device=seen.device).masked_fill_(seen, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Visibility:
    """Scale of the scores and visibility of the keys, on the device of the queries.

    Floating-point tensors have the dtype of the arithmetic: float64 for float64 inputs, else float32.
    """

    scale: Tensor  # [H]
    causal: bool
    window: Tensor | None  # [H]; a key is seen at a distance under it; None: at any distance
    key_mask: Tensor | None  # bool [B, S]; True: may be seen; None: all may
    positions: Tensor | None  # [S, P]; None: 0, 1, ..., S - 1

    def places(self, tokens: slice) -> Float[Tensor, "n P"]:
        """Positions of consecutive tokens."""
        if self.positions is not None:
            return self.positions[tokens]
        order = torch.arange(tokens.start, tokens.stop, device=self.scale.device)
        return order.to(self.scale.dtype)[:, None]

    def distances(self, queries: slice, keys: slice) -> Float[Tensor, "n m"]:
        """Euclidean distances between the positions of consecutive queries and of consecutive keys."""
        rows, columns = self.places(queries), self.places(keys)
        if rows.shape[1] == 1:
            return (rows - columns.T).abs()
        if exporting():  # ONNX has no such operation
            return (rows[:, None] - columns).square().sum(-1).sqrt()
        return torch.cdist(rows, columns, compute_mode="donot_use_mm_for_euclid_dist")

    def seen(self, length: int, *, causal: bool) -> Bool[Tensor, "#B #H #S S"] | None:
        """Return which query sees which key by windows, `key_mask` and, if `causal`, by order; None: each sees all."""
        every, parts = slice(0, length), []
        if causal:
            past = torch.ones(1, 1, length, length, dtype=torch.bool, device=self.scale.device)
            parts.append(past.tril_())
        if self.window is not None:
            parts.append(self.distances(every, every) < self.window[None, :, None, None])
        if self.key_mask is not None:
            parts.append(self.key_mask[:, None, None, :])
        return reduce(torch.logical_and, parts) if parts else None


class Path(Protocol):
    """A way to compute attention that has a backward of its own: a module with these two functions."""

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, visibility: Visibility, statistics: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the output, the log-sum-exp and, when asked, the statistics of every query.

        Parameters
        ----------
        q, k
            Queries and keys, [B, H, S, R].
        v
            Values, [B, H, S, W].
        visibility
            Scale of the scores, and which query sees which key.
        statistics
            Whether to return each number of AttentionStatistics as well, [5, B, H, S].
        """

    def backward(
        self,
        grad_output: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        output: Tensor,
        lse: Tensor,
        visibility: Visibility,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of q, k and v.

        Parameters
        ----------
        grad_output
            Gradient of the output, [B, H, S, W].
        q, k
            Queries and keys, [B, H, S, R].
        v
            Values, [B, H, S, W].
        output, lse
            What `forward` returned, [B, H, S, W] and [B, H, S].
        visibility
            Scale of the scores, and which query sees which key.
        """
