"""Whether two ways give the same, and what they have to agree on anew."""

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves


def kind(x: Any) -> Hashable:
    """Return what a way has to be proven for anew: axes, dtypes and devices, gradients, autocast; not sizes."""
    tensors = [x] if isinstance(x, Tensor) else [each for each in tree_leaves(x) if isinstance(each, Tensor)]
    return (
        torch.is_grad_enabled(),
        *(
            (each.ndim, each.dtype, each.device, torch.is_autocast_enabled(each.device.type))
            for each in tensors
        ),
    )


def agree(found: Any, wanted: Any, scale: float | None = None, tolerance: float | None = None) -> bool:
    """Whether values are the same but for rounding.

    Parameters
    ----------
    found, wanted
        Trees of tensors and of what is no tensor.
    scale
        What rounding is relative to; None: the largest number of each tensor.
    tolerance
        The largest difference, by that; None: what rounding comes to in the dtype of each tensor.
    """
    pairs = list(zip(tree_leaves(found), tree_leaves(wanted), strict=False))
    if len(pairs) != len(tree_leaves(wanted)):
        return False
    return all(_close(a, b, scale, tolerance) if isinstance(b, Tensor) else a == b for a, b in pairs)


def _close(found: Any, wanted: Tensor, scale: float | None, tolerance: float | None) -> bool:
    if not isinstance(found, Tensor) or found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if not wanted.is_floating_point() or not wanted.numel():
        return torch.equal(found, wanted)
    scale = largest(wanted) if scale is None else scale
    tolerance = min(1000 * torch.finfo(wanted.dtype).eps, 0.05) if tolerance is None else tolerance
    return torch.allclose(found, wanted, rtol=0, atol=tolerance * max(scale, 1e-30), equal_nan=True)


def largest(x: Tensor) -> float:
    """Return the largest finite absolute value in a tensor, 0 if there is none."""
    return float(x.detach().abs().nan_to_num(posinf=0).max()) if x.numel() else 0.0


def gradients(outputs: Any, leaves: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of a sum of all numbers in the outputs, each with a weight of its own; the graph is kept."""
    learnt = [each for each in tree_leaves(outputs) if isinstance(each, Tensor) and each.requires_grad]
    if not learnt or not leaves:
        return [torch.zeros_like(each) for each in leaves]
    weights = [
        torch.arange(each.numel(), device=each.device).cos().to(each.dtype).view_as(each) for each in learnt
    ]
    found = torch.autograd.grad(learnt, leaves, weights, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(leaf) if each is None else each for leaf, each in zip(leaves, found, strict=True)
    ]
