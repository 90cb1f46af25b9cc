"""The outputs of experts for rows that are sorted by expert, computed in three ways that agree.

    y_m = dropout(f(x_m W1[e] + b1[e])) W2[e] + b2[e],   e the expert of row m

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
PART = 2**20  # hidden activations of the rows that are computed at once on the CPU: 4 MiB in float32


@dataclass(frozen=True, slots=True, eq=False)
class Experts:
    """The stacked matrices of E experts, and the activation between them."""

    W1: Tensor  # [E, D, P]
    W2: Tensor  # [E, H, D]
    b1: Tensor | None  # [E, P]
    b2: Tensor | None  # [E, D]
    activation: Activation

    def split(self, counts: list[int]) -> "list[Experts]":
        """Return consecutive groups of so many experts each."""
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
    """Return the output of its expert for each row, [M, D].

    Parameters
    ----------
    rows
        Sorted by expert, [M, D].
    offsets
        The end of each expert's rows, cumulative, [E]; None: each has M / E.
    experts
        Matrices and activation.
    compute
        A name in `COMPUTE`: "grouped_gemm" multiplies the rows as they lie; "bmm" and "einsum" pad the rows of each
        expert with zeros to as many as the busiest has.
    keep
        Factor of each hidden activation: 0 where dropout drops it, 1 / (1 - p) elsewhere; None: 1.
    """
    product = COMPUTE[compute]
    if offsets is None:
        return _outputs(rows, _even(rows, len(experts.W1)), experts, product, keep)
    if compute == "grouped_gemm":
        return _in_parts(rows, offsets, experts, keep)
    slots = padding(offsets, len(rows))
    rows_ECD = collected(rows, slots)
    keep_ECH = None if keep is None else collected(keep, slots)
    outputs = _outputs(rows_ECD, _even(rows_ECD, len(experts.W1)), experts, product, keep_ECH)
    return spread(outputs, slots)


def _in_parts(rows: Tensor, offsets: Tensor, experts: Experts, keep: Tensor | None) -> Tensor:
    """Compute the outputs in parts of the rows, on the CPU.

    Tens of megabytes are allocated anew each time, page fault by page fault, while the memory of parts is reused: a
    layer takes 5 to 20 % less time (8,192 rows, 8 and 16 experts, 128 to 512, one thread).
    """
    if rows.device.type != "cpu":
        return _outputs(rows, offsets, experts, grouped_gemm, keep)
    ends = [0, *offsets.tolist()]
    counts = part_counts(ends, experts.W1.shape[2])
    if len(counts) == 1:
        return _outputs(rows, offsets, experts, grouped_gemm, keep)
    bounds = [ends[first] for first in accumulate(counts, initial=0)]
    sizes = [end - start for start, end in pairwise(bounds)]
    keeps = [None] * len(counts) if keep is None else keep.split(sizes)
    parts = zip(rows.split(sizes), offsets.split(counts), bounds, experts.split(counts), keeps, strict=False)
    return torch.cat(
        [_outputs(part, own - start, few, grouped_gemm, k) for part, own, start, few, k in parts]
    )


def part_counts(ends: list[int], columns: int) -> list[int]:
    """Return the numbers of consecutive experts of the parts, whose rows have at most `PART` hidden activations.

    A single expert whose rows have more is a part of its own.

    Parameters
    ----------
    ends
        0, and the end of each expert's rows.
    columns
        Hidden activations of a row.
    """
    counts, start = [0], 0
    for before, end in pairwise(ends):
        if counts[-1] and (end - start) * columns > PART:
            counts.append(0)
            start = before
        counts[-1] += 1
    return counts


def _outputs(
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
    """Return the placement of sorted rows into E C slots, C for each expert: as many as the busiest has rows."""
    sizes_E = torch.diff(offsets, prepend=offsets.new_zeros(1))
    most = int(sizes_E.max())
    row_M = torch.arange(rows, device=offsets.device)
    expert_M = torch.searchsorted(offsets, row_M, right=True)
    slot_M = row_M + expert_M * most - (offsets - sizes_E)[expert_M]
    # A slot begins at the row whose number is that of the rows before it: each slot has one row or none.
    taken = torch.zeros(len(offsets) * most, dtype=torch.int64, device=offsets.device)
    taken[slot_M] = 1
    return Placement(slot_M, row_M, row_M, taken.cumsum(0) - taken)


def _even(rows: Tensor, experts: int) -> Tensor:
    """Return the ends of groups of equal size."""
    return torch.arange(1, experts + 1, device=rows.device) * (len(rows) // experts)


def _bmm(rows: Tensor, weights: Tensor, _: Tensor) -> Tensor:
    """Return the products of groups of equal size, batched."""
    return torch.bmm(rows.view(len(weights), -1, rows.shape[1]), weights).flatten(0, 1)


def _einsum(rows: Tensor, weights: Tensor, _: Tensor) -> Tensor:
    """Return the same as a sum over an index, for reading."""
    rows_ECK = rows.view(len(weights), -1, rows.shape[1])
    return torch.einsum("eck,ekn->ecn", rows_ECK, weights).flatten(0, 1)


COMPUTE: Mapping[str, Product] = MappingProxyType(
    {"grouped_gemm": grouped_gemm, "bmm": _bmm, "einsum": _einsum}
)
