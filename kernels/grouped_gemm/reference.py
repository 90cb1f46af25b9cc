"""The grouped product by its definition: a loop over groups."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def grouped_gemm(
    x: Float[Tensor, "M K"], weights: Float[Tensor, "G K N"], offsets: Int64[Tensor, " G"]
) -> Float[Tensor, "M N"]:
    """Multiply the rows of each group by its matrix, one group at a time; torch makes the gradients.

    Parameters
    ----------
    x
        Rows sorted by group, [M, K].
    weights
        One matrix per group, [G, K, N].
    offsets
        The end of each group, cumulative, [G].
    """
    ends = offsets.tolist()
    starts = [0, *ends[:-1]]
    return torch.cat(
        [x[start:end] @ weights[g] for g, (start, end) in enumerate(zip(starts, ends, strict=True))]
    )
