"""What all families share: the interface (stem and readout), the norm between layers, losses, scores."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from organisms.layers.norms import rms_norm
from organisms.task import Task

Interface = Mapping[str, Tensor]


def new_interface(task: Task, dim: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw an untrained interface: what maps tokens into the residual stream and out of it.

    ``embed`` [F, dim] and ``position`` [S, dim] are the stem, ``read`` [dim, outputs] and ``bias``
    [outputs] the readout.
    """

    def normal(*shape: int, std: float) -> Tensor:
        return torch.randn(shape, generator=generator) * std

    return {
        "embed": normal(task.features, dim, std=1.0),
        "position": normal(task.length, dim, std=0.5),
        "read": normal(dim, task.outputs, std=1 / math.sqrt(dim)),
        "bias": torch.zeros(task.outputs),
    }


def check_interface(interface: Interface, wanted: Interface) -> None:
    """See that an interface has the names, shapes and types of one that was drawn.

    Raises
    ------
    ValueError
        If it has others.
    """
    shapes, found = (
        {name: (str(tensor.dtype), tuple(tensor.shape)) for name, tensor in each.items()}
        for each in (wanted, interface)
    )
    if found != shapes:
        raise ValueError(f"an interface of this task is {shapes}; found {found}")


def stem(task: Task, interface: Interface, inputs: Tensor) -> Float[Tensor, "B S D"]:
    """Map tokens (continuous [B, S, F] or discrete [B, S]) into the residual stream."""
    embed = interface["embed"]
    tokens = inputs @ embed if task.tokens == "continuous" else F.embedding(inputs, embed)
    return tokens + interface["position"]


def readout(task: Task, interface: Interface, x: Float[Tensor, "*batch S D"]) -> Tensor:
    """Map the residual stream to outputs: [*batch, outputs], or per position [*batch, S, outputs]."""
    h = rms_norm(x)
    return (h if task.per_position else h.mean(-2)) @ interface["read"] + interface["bias"]


def example_losses(task: Task, outputs: Tensor, targets: Tensor) -> Float[Tensor, "*batch"]:
    """Loss of each example: nats (cross-entropy) or mean squares (regression); outputs may have axes in front."""
    if task.regression:
        losses = (outputs - targets).square().mean(-1)
    else:
        logs = torch.log_softmax(outputs, dim=-1)
        wanted = targets.expand(outputs.shape[:-1]).unsqueeze(-1)
        losses = -logs.gather(-1, wanted).squeeze(-1)
    return losses.mean(-1) if task.per_position else losses


def score(task: Task, outputs: Tensor, targets: Tensor) -> float:
    """Share of right answers, or R2 = 1 - squared error / variance about each output's mean for regression."""
    if task.regression:
        error = (outputs.double() - targets).square().sum()
        spread = (targets.double() - targets.double().flatten(0, -2).mean(0)).square().sum()
        return float(1 - error / spread)
    return float((outputs.argmax(-1) == targets).double().mean())
