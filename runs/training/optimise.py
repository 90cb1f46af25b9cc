"""Training of an organism for some steps by backpropagation: batches, learning rate and the loop."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from organisms.adam import Adam, clip, update
from organisms.contrastive import contrastive, views
from organisms.gates import rising
from organisms.layers.norms import rms_norm
from organisms.species import Organism
from qd.lifecycle.annealing import Schedule, cosine
from qd.seeding import generator
from runs.config.import_path import imported
from runs.errors import RunError
from runs.training.state import Individual
from runs.training.world import World


def learning_rate(world: World, steps: int) -> Schedule:
    """Return the schedule of the learning rate: half a cosine over `steps` optimizer steps."""
    training = world.config.training
    return cosine(training.learning_rate, training.learning_rate * training.final_share, steps)


def batches(world: World, number: int, round: int, steps: int) -> Tensor:
    """Draw the training examples of each step, int64 [steps, batch], from a stream of their own.

    Parameters
    ----------
    world
        Its configuration says the seed and the size of a batch.
    number, round
        Of the organism and of the run: they name the stream.
    steps
        Optimizer steps.
    """
    stream = generator(world.config.seed, round, f"batches:{number}")
    drawn = stream.integers(0, len(world.train), size=(steps, world.config.training.batch))
    return torch.from_numpy(drawn).to(world.device)


def train(
    world: World,
    individual: Individual,
    indices: Tensor,
    rate: Schedule,
    newborn: Sequence[int] = (),
    interface: bool = False,
    watch: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> float:
    """Train for ``len(indices)`` steps, in place, and return the mean loss (`organisms.nn.example_losses`).

    At the first loss that is not finite training stops, and that loss is returned; ``individual.step`` is then the step
    whose loss it is. On the CPU the weights are those of the step before. Any other device is asked for its losses
    once, at the end, so that no step waits for another, and has trained on in vain: those weights are of no use.

    Parameters
    ----------
    world
        Its training split and settings.
    individual
        The organism.
    indices
        Training examples of each step, [steps, batch].
    rate
        Learning rate by the organism's own optimizer step.
    newborn
        Slots whose gate rises evenly from 0 to 1 over these steps.
    interface
        Whether stem and readout are trained too (in calibration, once).
    watch
        Makes the context of the forward pass of each step.
    """
    organism, settings = individual.organism, Adam(weight_decay=world.config.training.weight_decay)
    pool = organism.pool
    shared = _Shared(organism.interface) if interface else None
    trained = list(pool.stacks.values()) + (list(shared.leaves.values()) if shared else [])
    for tensor in trained:
        tensor.requires_grad_(True)
    coming = _flags(pool.counts, newborn) if newborn else None
    on_device: list[Tensor] = []
    for index, rows in enumerate(indices):
        if shared:
            organism.interface = shared.tensors()
        gates = None if coming is None else rising(coming, (index + 1) / len(indices))
        with watch():
            loss = training_loss(world, organism, rows, gates)
        on_device.append(loss.detach())
        if loss.is_cpu and not loss.isfinite():
            break
        gradients = list(
            torch.autograd.grad(loss, trained, materialize_grads=True)
        )  # zeros of what no part uses
        with torch.no_grad():
            of_pool = dict(zip(pool.stacks, gradients, strict=False))
            of_shared = dict(zip(shared.leaves, gradients[len(of_pool) :], strict=True)) if shared else {}
            clip(of_pool | of_shared, world.config.training.clip)
            step_rate = rate(individual.step + index)
            update(settings, step_rate, pool.counts, pool.stacks, of_pool, pool.first, pool.second)
            if shared:
                update(
                    settings, step_rate, shared.counts, shared.leaves, of_shared, shared.first, shared.second
                )
    for tensor in trained:
        tensor.requires_grad_(False)
    if shared:
        organism.interface = {name: tensor.clone() for name, tensor in shared.tensors().items()}
    losses = torch.stack(on_device).tolist()
    broken = next((step for step, past in enumerate(losses) if not math.isfinite(past)), None)
    losses = losses[: len(losses) if broken is None else broken + 1]
    individual.step += len(losses) if broken is None else broken
    individual.first_loss = losses[0] if individual.first_loss is None else individual.first_loss
    for past in losses:
        individual.trace.store(past)
    return math.fsum(losses) / len(losses) if broken is None else losses[-1]


def training_loss(world: World, organism: Organism, rows: Tensor, gates: Tensor | None = None) -> Tensor:
    """Return what a step minimises: ``w_task mean_e L_e + w_contrastive L_contrastive + sum_i w_i own_i``, a scalar.

    L_e are the losses of the task, with the family's own; L_contrastive is `organisms.contrastive` of the normed
    stream that the readout reads, which takes a forward pass of its own; own_i are a user's.

    Parameters
    ----------
    world
        Its training split and the weights.
    organism
        The organism.
    rows
        Training examples.
    gates
        Gate of every slot, [N]; None: all are 1.
    """
    inputs, targets = world.train.inputs[rows], world.train.targets[rows]
    weights = world.config.training.loss
    loss = organism.training_losses(inputs, targets, gates).mean()
    if weights.task != 1:
        loss = weights.task * loss
    for path, weight in weights.own.items():
        loss = loss + weight * _own(path, organism, inputs, targets, gates)
    if not weights.contrastive:
        return loss
    if not hasattr(organism, "stream"):
        raise RunError(
            "training.loss.contrastive needs organisms with a method stream(inputs, gates), and those of "
            f"organism.kind {world.config.organism.kind} have none; leave it out"
        )
    classes = targets if world.task.kind == "class" else None
    z, kinds = views(rms_norm(organism.stream(inputs, gates)), classes)
    return loss + weights.contrastive * contrastive(z, kinds, weights.temperature)


def _own(path: str, organism: Organism, inputs: Tensor, targets: Tensor, gates: Tensor | None) -> Tensor:
    found = imported(path, "training.loss.own")(organism, inputs, targets, gates)
    if not isinstance(found, Tensor) or found.ndim:
        given = f"{list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise RunError(f"the loss {path} must give one number, a tensor without axes; it gave {given}")
    return found


class _Shared:
    """The interface as stacks of one slot, so that `organisms.adam` can train it."""

    def __init__(self, interface: Mapping[str, Tensor]) -> None:
        self.leaves = {name: tensor.detach().clone().unsqueeze(0) for name, tensor in interface.items()}
        self.first = {name: torch.zeros_like(leaf) for name, leaf in self.leaves.items()}
        self.second = {name: torch.zeros_like(leaf) for name, leaf in self.leaves.items()}
        self.counts = torch.zeros(1, device=next(iter(interface.values())).device)

    def tensors(self) -> dict[str, Tensor]:
        return {name: leaf.squeeze(0) for name, leaf in self.leaves.items()}


def _flags(counts: Tensor, newborn: Sequence[int]) -> Tensor:
    flags = torch.zeros_like(counts, dtype=torch.bool)
    flags[list(newborn)] = True
    return flags
