"""An exponential moving average of a model's parameters."""

import torch
from torch import nn


def decay_at(decay: float, step: int) -> float:
    """Return the decay of step s = 1, 2, ...: min(decay, (1 + s) / (10 + s)), so that the start is soon forgotten."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average towards a model: a <- d a + (1 - d) p for each parameter; buffers are copied.

    Parameters
    ----------
    average
        A module of the model's architecture.
    model
        After an optimizer step.
    decay
        d, in [0, 1).
    """
    for kept, parameter in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(parameter, 1.0 - decay)
    for copied, buffer in zip(average.buffers(), model.buffers(), strict=True):
        copied.copy_(buffer)
