"""Adam on stacked tensors, where every slot counts its own steps.

With a shared count a newborn's zero moments are hardly corrected, and its first updates come out three
to six times too large.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Adam:
    """Settings of the optimizer: Kingma & Ba 2015 with decoupled weight decay (Loshchilov & Hutter 2019)."""

    first_decay: float = 0.9
    second_decay: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0


def update(
    settings: Adam,
    learning_rate: float,
    counts: Tensor,
    parameters: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
) -> None:
    """Update all parameters by one optimizer step, in place, and count it.

    Parameters
    ----------
    settings
        Decay rates of the moments, epsilon and weight decay.
    learning_rate
        Step size, before each slot's bias correction.
    counts
        Steps that each slot has taken, float32 [N]; raised by one.
    parameters, gradients, first, second
        By name, each [N, ...]; `first` and `second` are the moving averages of the gradient and of its square.
    """
    counts += 1
    first_correction = 1 - settings.first_decay**counts
    second_correction = (1 - settings.second_decay**counts).sqrt()
    rate = learning_rate * second_correction / first_correction
    floor = settings.epsilon * second_correction
    for name, parameter in parameters.items():
        gradient, m, v = gradients[name], first[name], second[name]
        shape = (-1,) + (1,) * (parameter.ndim - 1)
        m.lerp_(gradient, 1 - settings.first_decay)
        v.mul_(settings.second_decay).addcmul_(gradient, gradient, value=1 - settings.second_decay)
        step = m / v.sqrt().add_(floor.view(shape))
        if settings.weight_decay:
            parameter.mul_(1 - learning_rate * settings.weight_decay)
        parameter.addcmul_(step, rate.view(shape), value=-1)


def clip(gradients: Mapping[str, Tensor], largest: float) -> Tensor:
    """Scale all gradients, in place, so that their joint norm is at most `largest`; return the norm before."""
    norm = torch.sqrt(sum((g.square().sum() for g in gradients.values()), torch.zeros(())))
    scale = torch.clamp(largest / (norm + 1e-6), max=1.0)
    for gradient in gradients.values():
        gradient.mul_(scale)
    return norm
