"""What a model answers to the examples of a split, and how well."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from organisms.nn import example_losses, score
from organisms.task import Split, Task
from runs.models.signature import Signature

BATCH = 256  # examples of a forward pass


def examples(signature: Signature, split: Split, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Return inputs and targets of a split: float32 or int64 each, as the signature says.

    Parameters
    ----------
    signature
        Of the split's task.
    split
        N examples.
    device
        Where the tensors shall be.
    """
    inputs = torch.as_tensor(split.inputs).to(
        torch.int64 if signature.tokens == "discrete" else torch.float32
    )
    targets = torch.as_tensor(split.targets).to(torch.float32 if signature.regression else torch.int64)
    return inputs.to(device), targets.to(device)


def outputs(model: nn.Module, inputs: Tensor, batch: int = BATCH) -> Tensor:
    """Return what a model answers to inputs [N, S, ...] in evaluation mode, [N, ...], float32 on their device.

    Parameters
    ----------
    model
        Is called with batches; its mode is as before afterwards.
    inputs
        On the model's device.
    batch
        Examples at once.
    """
    return in_batches(lambda part: model(part)[0], model, inputs, batch)


@torch.no_grad()
def in_batches(answer: Callable[[Tensor], Tensor], model: nn.Module, inputs: Tensor, batch: int) -> Tensor:
    """Return the answers to inputs [N, S, ...] in evaluation mode, [N, ...], float32.

    Parameters
    ----------
    answer
        Is called with batches.
    model
        What it calls, whose mode is as before afterwards.
    inputs
        N examples.
    batch
        Examples at once.
    """
    training = model.training
    model.eval()
    try:
        return torch.cat([answer(part).float() for part in inputs.split(batch)])
    finally:
        model.train(training)


def measured(task: Task, split: Split, found: Tensor) -> dict[str, float]:
    """Return ``loss`` and ``score`` of outputs for a split, and the metrics of the task's own.

    Parameters
    ----------
    task
        Says which loss and score they are.
    split
        N examples.
    found
        Outputs for them, float32 [N, ...].
    """
    own = {} if task.metrics is None else task.metrics(found.cpu().numpy(), split)
    return _loss_and_score(task, split, found) | {name: float(value) for name, value in own.items()}


def by_label(task: Task, split: Split, found: Tensor) -> dict[str, dict[str, float]]:
    """Return ``loss`` and ``score`` of each kind of examples that a split has, by the kind's name.

    Parameters
    ----------
    task, split, found
        As `measured` takes them.
    """
    values = {}
    for label, name in enumerate(task.labels):
        own = np.flatnonzero(split.labels == label)
        if len(own):
            part = Split(split.inputs[own], split.targets[own])
            values[name] = _loss_and_score(task, part, found[torch.as_tensor(own, device=found.device)])
    return values


def _loss_and_score(task: Task, split: Split, found: Tensor) -> dict[str, float]:
    _, targets = examples(Signature.of(task), split)
    outputs = found.cpu()
    losses = example_losses(task, outputs, targets)
    return {"loss": float(losses.double().mean()), "score": score(task, outputs, targets)}
