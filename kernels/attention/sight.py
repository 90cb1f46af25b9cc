"""What the queries may see: the form in which every path of `attention` is told."""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
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
        return torch.cdist(rows, columns, compute_mode="donot_use_mm_for_euclid_dist")


class Path(Protocol):
    """A way to compute attention that has a backward of its own: a module with these two functions."""

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, sight: Sight, statistics: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Give the output, the log-sum-exp and, when asked, [5, B, H, S]: each number of AttentionStatistics."""

    def backward(
        self,
        grad_output: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        output: Tensor,
        lse: Tensor,
        sight: Sight,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Give the gradients of q, k and v."""
