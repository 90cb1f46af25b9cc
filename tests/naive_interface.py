"""What every organism computes at its two ends, by definition: float64, one example at a time."""

from collections.abc import Mapping

import torch
from torch import Tensor

from organisms.task import Task


def norm(x: Tensor) -> Tensor:
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6)


def stem(task: Task, interface: Mapping[str, Tensor], example: Tensor) -> Tensor:
    """The residual stream [S, D] of one example before the first layer."""
    embed = interface["embed"].double()
    tokens = embed[example] if task.tokens == "discrete" else example.double() @ embed
    return tokens + interface["position"].double()


def readout(task: Task, interface: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Outputs of one example from its stream [S, D] after the last layer."""
    last = norm(x)
    pooled = last if task.kind in ("token", "sequence") else last.mean(0)
    return pooled @ interface["read"].double() + interface["bias"].double()


def losses(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """Loss of each example [B]: nats, or mean squares for a value or sequence task."""
    if task.kind in ("value", "sequence"):
        return ((outputs - targets.double()) ** 2).flatten(1).mean(-1)
    chosen = -torch.log(torch.softmax(outputs, -1)).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return chosen.mean(-1) if task.kind == "token" else chosen
