"""The one place that knows the Triton kernels of attention; they are imported when they are first needed."""

from importlib import import_module

import torch
from torch import Tensor

from kernels.attention.visibility import Visibility


def forward(
    q: Tensor, k: Tensor, v: Tensor, visibility: Visibility, statistics: bool
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
        Whether to return those as well, [5, B, H, S].
    """
    kernel = import_module("kernels.attention.triton.forward")
    return kernel.forward(*_contiguous(q, k, v), *_kernel_arguments(visibility, q.shape[2]), statistics)


def backward(
    grad_output: Tensor, q: Tensor, k: Tensor, v: Tensor, output: Tensor, lse: Tensor, visibility: Visibility
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
    kernel = import_module("kernels.attention.triton.backward")
    return kernel.backward(
        *_contiguous(grad_output, q, k, v, output, lse), *_kernel_arguments(visibility, q.shape[2])
    )


def _contiguous(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.contiguous() for tensor in tensors)


def _kernel_arguments(
    visibility: Visibility, length: int
) -> tuple[Tensor, bool, Tensor | None, Tensor | None, Tensor]:
    """Return scale, causal, window, key mask and positions as the kernels take them: contiguous, masks as bytes."""
    window = None if visibility.window is None else visibility.window.contiguous()
    key_mask = None if visibility.key_mask is None else visibility.key_mask.to(torch.uint8).contiguous()
    positions = visibility.places(slice(0, length)).contiguous()
    return visibility.scale.contiguous(), visibility.causal, window, key_mask, positions
