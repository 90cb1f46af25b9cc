"""What a model answers to the examples of a split, and how well."""

from collections.abc import Iterator

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


@torch.no_grad()
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
    training = model.training
    model.eval()
    try:
        return torch.cat([model(each)[0].float() for each in inputs.split(batch)])
    finally:
        model.train(training)


def measured(task: Task, split: Split, found: Tensor) -> dict[str, float]:
    """Return loss and score of outputs for a split (``loss``, ``score``) and the task's own metrics.

    Parameters
    ----------
    task
        Says which loss and score they are.
    split
        N examples.
    found
        Outputs for them, float32 [N, ...].
    """
    _, targets = examples(Signature.of(task), split)
    cpu = found.cpu()
    values = {
        "loss": float(example_losses(task, cpu, targets).double().mean()),
        "score": score(task, cpu, targets),
    }
    if task.metrics is not None:
        values |= {name: float(value) for name, value in task.metrics(cpu.numpy(), split).items()}
    return values


def by_label(task: Task, split: Split, found: Tensor) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the name of each kind of examples that a split has, with what `measured` returns for those alone.

    Parameters
    ----------
    task, split, found
        As `measured` takes them.
    """
    if split.labels is None:
        return
    for label, name in enumerate(task.labels):
        own = split.labels == label
        if own.any():
            part = Split(split.inputs[own], split.targets[own], split.labels[own])
            yield name, measured(task, part, found[torch.as_tensor(own)])
