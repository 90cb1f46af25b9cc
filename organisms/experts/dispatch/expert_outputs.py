"""What a layer of experts computes for rows that are sorted by expert, in three ways that agree.

    y_m = dropped(f(x_m W1[e] + b1[e])) W2[e] + b2[e],   e the expert of row m

Shape suffixes: M rows, E experts, C rows of each expert where all have as many, D width of the residual stream,
P columns of the first matrix (2 H if gated, else H), H rows of the second.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from types import MappingProxyType

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from kernels.grouped_gemm import grouped_gemm
from organisms.experts.dispatch.bias import add_bias
from organisms.experts.dispatch.placement import Placement, collected, spread
from organisms.layers.activations import Activation

Product = Callable[[Tensor, Tensor, Tensor], Tensor]
PART = 2**20  # hidden numbers of the rows that are computed at once on the CPU: 4 MiB in float32


@dataclass(frozen=True, slots=True, eq=False)
class Experts:
    """The stacked matrices of E experts, and what stands between them."""

    W1: Tensor  # [E, D, P]
    W2: Tensor  # [E, H, D]
    b1: Tensor | None  # [E, P]
    b2: Tensor | None  # [E, D]
    activation: Activation

    def split(self, counts: list[int]) -> "list[Experts]":
        """Give so many experts after so many others."""
        stacks = (self.W1, self.W2, self.b1, self.b2)
        parts = ([None] * len(counts) if stack is None else stack.split(counts) for stack in stacks)
        return [Experts(W1, W2, b1, b2, self.activation) for W1, W2, b1, b2 in zip(*parts, strict=True)]


def expert_outputs(
    rows: Float[Tensor, "M D"],
    offsets: Int64[Tensor, " E"] | None,
    experts: Experts,
    *,
    compute: str = "grouped_gemm",
    keep: Float[Tensor, "M H"] | None = None,
) -> Float[Tensor, "M D"]:
    """Give each row the answer of its expert.

    Parameters
    ----------
    rows
        Sorted by expert, [M, D].
    offsets
        The end of each expert's rows, cumulative, [E]; None: each has M / E.
    experts
        Their matrices.
    compute
        A name in `COMPUTE`: "grouped_gemm" multiplies the rows as they lie; "bmm" and "einsum" give each expert
        as many rows as the busiest has, filled up with zeros.
    keep
        Factor of each hidden number: 0 where dropout drops it, 1 / (1 - p) elsewhere; None: 1.
    """
    product = COMPUTE[compute]
    if offsets is None:
        return _answers(rows, _even(rows, len(experts.W1)), experts, product, keep)
    if compute == "grouped_gemm":
        return _in_parts(rows, offsets, experts, keep)
    slots = padding(offsets, len(rows))
    rows_ECD = collected(rows, slots)
    keep_ECH = None if keep is None else collected(keep, slots)
    answers = _answers(rows_ECD, _even(rows_ECD, len(experts.W1)), experts, product, keep_ECH)
    return spread(answers, slots)


def _in_parts(rows: Tensor, offsets: Tensor, experts: Experts, keep: Tensor | None) -> Tensor:
    """Go through the rows in parts, on the CPU.

    Memory of tens of megabytes comes fresh from the system each time, page by page, and memory of parts is used
    again: a layer takes 5 to 20 % less time (8,192 rows, 8 and 16 experts, 128 to 512, one thread).
    """
    if rows.device.type != "cpu":
        return _answers(rows, offsets, experts, grouped_gemm, keep)
    ends = [0, *offsets.tolist()]
    counts = part_counts(ends, experts.W1.shape[2])
    if len(counts) == 1:
        return _answers(rows, offsets, experts, grouped_gemm, keep)
    bounds = [ends[first] for first in accumulate(counts, initial=0)]
    sizes = [end - start for start, end in pairwise(bounds)]
    keeps = [None] * len(counts) if keep is None else keep.split(sizes)
    parts = zip(rows.split(sizes), offsets.split(counts), bounds, experts.split(counts), keeps, strict=False)
    return torch.cat(
        [_answers(part, own - start, few, grouped_gemm, k) for part, own, start, few, k in parts]
    )


def part_counts(ends: list[int], columns: int) -> list[int]:
    """Divide the experts in their order, so that the rows of several together have few hidden numbers."""
    counts, start = [0], 0
    for before, end in pairwise(ends):
        if counts[-1] and (end - start) * columns > PART:
            counts.append(0)
            start = before
        counts[-1] += 1
    return counts


def _answers(
    rows: Tensor, offsets: Tensor, experts: Experts, product: Product, keep: Tensor | None
) -> Tensor:
    h = product(rows, experts.W1, offsets)
    if experts.b1 is not None:
        h = add_bias(h, experts.b1, offsets)
    h = experts.activation(h)
    if keep is not None:
        h = h * keep
    y = product(h, experts.W2, offsets)
    return y if experts.b2 is None else add_bias(y, experts.b2, offsets)


def padding(offsets: Int64[Tensor, " E"], rows: int) -> Placement:
    """Place sorted rows into E C slots, C for each expert: as many as the busiest has."""
    sizes_E = torch.diff(offsets, prepend=offsets.new_zeros(1))
    most = int(sizes_E.max())
    row_M = torch.arange(rows, device=offsets.device)
    expert_M = torch.searchsorted(offsets, row_M, right=True)
    slot_M = row_M + expert_M * most - (offsets - sizes_E)[expert_M]
    # A slot before which n rows are placed begins at the n-th row: each has one row or none.
    taken = torch.zeros(len(offsets) * most, dtype=torch.int64, device=offsets.device)
    taken[slot_M] = 1
    return Placement(slot_M, row_M, row_M, taken.cumsum(0) - taken)


def _even(rows: Tensor, experts: int) -> Tensor:
    """Ends of groups of equal size."""
    return torch.arange(1, experts + 1, device=rows.device) * (len(rows) // experts)


def _bmm(rows: Tensor, weights: Tensor, _: Tensor) -> Tensor:
    """Multiply groups of equal size at once."""
    return torch.bmm(rows.view(len(weights), -1, rows.shape[1]), weights).flatten(0, 1)


def _einsum(rows: Tensor, weights: Tensor, _: Tensor) -> Tensor:
    """Say the same as a sum over an index, for reading."""
    rows_ECK = rows.view(len(weights), -1, rows.shape[1])
    return torch.einsum("eck,ekn->ecn", rows_ECK, weights).flatten(0, 1)


COMPUTE: Mapping[str, Product] = MappingProxyType(
    {"grouped_gemm": grouped_gemm, "bmm": _bmm, "einsum": _einsum}
)
