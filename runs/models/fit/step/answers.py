"""A model's answers to a micro-batch, with its own random numbers, and what is wrong with them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from organisms.task import Task
from qd.seeding import torch_seed
from runs.errors import RAISED, PlasmodiaError, RunError, told
from runs.models.signature import Signature


@contextmanager
def seeded(seed: int, step: int, context: str, device: torch.device) -> Iterator[torch.Generator]:
    """Seed torch's global generators for a while, and yield a generator of the same seed.

    Modules of torch's own, such as `torch.nn.Dropout`, draw from the global one; it is afterwards as it was.

    Parameters
    ----------
    seed, step, context
        As `qd.seeding.torch_seed` takes them.
    device
        Whose generator is seeded beside the CPU's, and where the one that is yielded is.
    """
    drawn = torch_seed(seed, step, context)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(drawn)
        yield torch.Generator(device).manual_seed(drawn)


@contextmanager
def blamed(kind: str, is_own: bool, step: int) -> Iterator[None]:
    """Tell what a model raises as an error of the training: of the user's own anything, of ours a refusal.

    Raises
    ------
    RunError
        Naming the step, the architecture and what it raised.

    Parameters
    ----------
    kind
        The architecture.
    is_own
        Whether it is the user's.
    step
        At which it is called.
    """
    try:
        yield
    except PlasmodiaError:
        raise
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"there is too little memory on the device for step {step}; lower data.batch_size and raise "
            "optim.grad_accum_steps instead"
        ) from error
    except ValueError as error:
        text = told(error) if is_own else " ".join(str(error).split())
        raise RunError(f"in step {step} the model {kind} refused its input: {text}") from error
    except RAISED as error:
        if not is_own:
            raise
        raise RunError(f"in step {step} the model {kind} raised {told(error)}") from error


def answered(
    model: nn.Module, inputs: Tensor, signature: Signature, generator: torch.Generator | None
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Return a model's outputs, float32, and its metrics, after checking that they are what a task needs.

    Parameters
    ----------
    model
        Is called with inputs, no mask and the generator.
    inputs
        Of B examples.
    signature
        Says which shape the outputs have.
    generator
        What noise and dropout are drawn from.

    Raises
    ------
    RunError
        If they have another form or shape.
    """
    found = model(inputs, None, generator)
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], Mapping)):
        raise RunError(
            f"a model must return a tensor of outputs and a dictionary of metrics, not a {type(found).__name__}"
        )
    outputs, metrics = found
    wanted = (
        len(inputs),
        *([inputs.shape[1]] if signature.per_position else []),
        signature.outputs,
    )
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if shape != wanted:
        raise RunError(
            f"outputs of a model of the task {signature.name!r} must be {list(wanted)} for inputs "
            f"{list(inputs.shape)}, not {list(shape) if isinstance(shape, tuple) else shape}"
        )
    return outputs.float(), metrics


def loss_parts(task: Task, losses: Tensor, metrics: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return what training minimises, the mean loss and ``aux_total`` where there is one, and its parts by name.

    Parts that the model has for each layer, ``aux_load_balance`` for example, are their means over layers, without the
    weights that they have in ``aux_total``.

    Parameters
    ----------
    task
        Named in the error.
    losses
        Of each example, [B].
    metrics
        Of the model.

    Raises
    ------
    RunError
        If ``aux_total`` is not one number.
    """
    own = losses.mean()
    parts = {"task": own.detach()}
    for name, value in metrics.items():
        if name.startswith("aux_") and isinstance(value, Tensor):
            parts[name] = value.detach().float().mean()
    added = metrics.get("aux_total")
    if added is None:
        return own, parts
    if not isinstance(added, Tensor) or added.numel() != 1:
        raise RunError(
            f"the metric aux_total of a model must be one number, which is added to the loss of {task.name!r}"
        )
    return own + added.reshape(()).float(), parts
