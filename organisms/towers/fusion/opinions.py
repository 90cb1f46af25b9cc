"""The opinions that a fusion is given: checked, stacked, and mixed by weights."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from kernels import arguments


def stacked(
    fusion: str, opinions: Sequence[Tensor], num_inputs: int, in_features: int
) -> Float[Tensor, "N *batch D"]:
    """Return opinions as one tensor [N, ..., D].

    Parameters
    ----------
    fusion
        Name of the fusion, for messages.
    opinions
        N tensors [..., D] of one shape, dtype and device.
    num_inputs, in_features
        N and D, as the fusion was made for.

    Raises
    ------
    ValueError
        If there are more or fewer, or they differ, or their last axis is no D numbers.
    """
    if len(opinions) != num_inputs:
        raise ValueError(
            f"fusion {fusion!r} is made for {num_inputs} opinions, but was given {len(opinions)}: pass one of each "
            "tower, or set num_inputs"
        )
    arguments.tensors(**{f"opinion_{n}": each for n, each in enumerate(opinions)})
    first = opinions[0]
    for n, each in enumerate(opinions):
        if not each.ndim or each.shape[-1] != in_features or not each.is_floating_point():
            raise ValueError(
                f"opinions of fusion {fusion!r} must be floating-point [..., {in_features}], as in_features says, but "
                f"number {n} is {_described(each)}"
            )
        if (each.shape, each.dtype, each.device) != (first.shape, first.dtype, first.device):
            raise ValueError(
                f"opinions of fusion {fusion!r} must have one shape, dtype and device, but number 0 is "
                f"{_described(first)} and number {n} is {_described(each)}: project them to one shape first"
            )
    return torch.stack(tuple(opinions))


def mixed(
    opinions: Float[Tensor, "N *batch D"], weights: Float[Tensor, " N *batch"]
) -> Float[Tensor, "*batch D"]:
    """Return sum_n w_n o_n; where weights sum to 1 and none is negative, it lies between the opinions."""
    return torch.einsum("n...d,n...->...d", opinions, weights)


def _described(opinion: Tensor) -> str:
    return f"{opinion.dtype} {list(opinion.shape)} on {opinion.device}"
