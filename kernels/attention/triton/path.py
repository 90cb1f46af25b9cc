"""The one place that knows the Triton kernels of attention; they are imported when they are first needed."""

from importlib import import_module

import torch
from torch import Tensor

from kernels.attention.visibility import Sight


def forward(
    q: Tensor, k: Tensor, v: Tensor, sight: Sight, statistics: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Give the output, the log-sum-exp and, when asked, the statistics of every query."""
    kernel = import_module("kernels.attention.triton.forward")
    return kernel.forward(*_contiguous(q, k, v), *_told(sight, q.shape[2]), statistics)


def backward(
    grad_output: Tensor, q: Tensor, k: Tensor, v: Tensor, output: Tensor, lse: Tensor, sight: Sight
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the gradients of q, k and v."""
    kernel = import_module("kernels.attention.triton.backward")
    return kernel.backward(*_contiguous(grad_output, q, k, v, output, lse), *_told(sight, q.shape[2]))


def _contiguous(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.contiguous() for tensor in tensors)


def _told(sight: Sight, length: int) -> tuple[Tensor, bool, Tensor | None, Tensor | None, Tensor]:
    """What the kernels are told: contiguous tensors, with bytes for truth values."""
    window = None if sight.window is None else sight.window.contiguous()
    key_mask = None if sight.key_mask is None else sight.key_mask.to(torch.uint8).contiguous()
    positions = sight.places(slice(0, length)).contiguous()
    return sight.scale.contiguous(), sight.causal, window, key_mask, positions
