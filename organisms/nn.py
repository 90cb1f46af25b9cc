"""What organisms of all families share: the interface (stem and readout), and losses and scores of their outputs."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from organisms.layers.norms import rms_norm
from organisms.task import Task

Interface = Mapping[str, Tensor]

MOST_IN_CACHE = 2**19  # numbers of outputs that are computed at once, 2 MiB


def new_interface(task: Task, dim: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw an untrained interface: what maps tokens into the residual stream and out of it.

    ``embed`` [F, dim] and ``position`` [S, dim] are the stem, ``read`` [dim, outputs] and ``bias``
    [outputs] the readout. In a stream, ``position`` is that in a chunk.

    Parameters
    ----------
    task
        Says F, S and the number of outputs.
    dim
        Width of the residual stream.
    generator
        Source of the draws.
    """

    def normal(*shape: int, std: float) -> Tensor:
        return torch.randn(shape, generator=generator) * std

    return {
        "embed": normal(task.features, dim, std=1.0),
        "position": normal(task.sight, dim, std=0.5),
        "read": normal(dim, task.outputs, std=1 / math.sqrt(dim)),
        "bias": torch.zeros(task.outputs),
    }


def check_interface(interface: Interface, wanted: Interface) -> None:
    """Check that an interface has the names, shapes and types of one that was drawn.

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


def stem(task: Task, interface: Interface, inputs: Tensor, first: int = 0) -> Float[Tensor, "B S D"]:
    """Map tokens into the residual stream, embedded and with their positions added.

    Parameters
    ----------
    task
        Says whether its tokens are continuous or discrete.
    interface
        Holds ``embed`` and ``position``.
    inputs
        Tokens of B examples: continuous [B, S, F] or discrete [B, S]. Of a stream they may be any number.
    first
        Place of the first one in its chunk, if the task is a stream.
    """
    embed, position = interface["embed"], interface["position"]
    tokens = inputs @ embed if task.tokens == "continuous" else F.embedding(inputs, embed)
    if task.chunk is None:
        return tokens + position
    places = torch.arange(first, first + inputs.shape[1], device=position.device)
    return tokens + position[places % task.chunk]


def readout(task: Task, interface: Interface, x: Float[Tensor, "*batch S D"]) -> Tensor:
    """Map the residual stream to outputs: [*batch, outputs], or per position [*batch, S, outputs].

    Parameters
    ----------
    task
        Says whether every position has outputs of its own; else the mean over positions is read.
    interface
        Holds ``read`` and ``bias``.
    x
        The residual stream after the last layer.
    """
    h = rms_norm(x)
    return (h if task.per_position else h.mean(-2)) @ interface["read"] + interface["bias"]


def example_losses(task: Task, outputs: Tensor, targets: Tensor) -> Float[Tensor, "*batch"]:
    """Return the loss of each example: cross-entropy in nats, or the mean squared error for regression.

    Parameters
    ----------
    task
        Says which loss it is; over positions the mean is taken.
    outputs
        As `readout` returns them; they may have further axes in front.
    targets
        Those of `organisms.task.Split`.
    """
    if task.regression:
        losses = (outputs - targets).square().mean(-1)
    else:
        logs = torch.log_softmax(outputs, dim=-1)
        wanted = targets.expand(outputs.shape[:-1]).unsqueeze(-1)
        losses = -logs.gather(-1, wanted).squeeze(-1)
    return losses.mean(-1) if task.per_position else losses


def read_losses(
    task: Task, interface: Interface, x: Float[Tensor, "B S D"], targets: Tensor
) -> Float[Tensor, " B"]:
    """Return the loss of each example by what the readout makes of a stream, a few examples at a time.

    Parameters
    ----------
    task
        Says which loss it is.
    interface
        Holds ``read`` and ``bias``.
    x
        The residual stream of B examples after the last layer.
    targets
        Of the B examples.
    """
    few = examples_at_once(task, interface, x)
    parts = zip(x.split(few), targets.split(few), strict=True)
    return torch.cat([example_losses(task, readout(task, interface, part), wanted) for part, wanted in parts])


def examples_at_once(
    task: Task, interface: Interface, x: Float[Tensor, "*batch S D"], copies: int = 1
) -> int:
    """Return of how many examples outputs are computed at once: on a CPU as many as its cache holds.

    Parameters
    ----------
    task
        Says whether every position has outputs of its own.
    interface
        Holds the readout.
    x
        The residual stream that is read.
    copies
        Streams of each example.
    """
    numbers = copies * interface["read"].shape[1] * (x.shape[-2] if task.per_position else 1)
    return max(1, MOST_IN_CACHE // max(1, numbers)) if x.device.type == "cpu" else max(1, len(x))


def score(task: Task, outputs: Tensor, targets: Tensor) -> float:
    """Return the accuracy, or R2 = 1 - squared error / variance about each output's mean for regression.

    Parameters
    ----------
    task
        Says which score it is.
    outputs
        As `readout` returns them.
    targets
        Those of `organisms.task.Split`.
    """
    if task.regression:
        error = (outputs.double() - targets).square().sum()
        spread = (targets.double() - targets.double().flatten(0, -2).mean(0)).square().sum()
        return float(1 - error / spread)
    return float((outputs.argmax(-1) == targets).double().mean())
