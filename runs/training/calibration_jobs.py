"""The jobs of calibration: the interface, the reference organisms, their assays."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from organisms.species import Organism
from organisms.task import Task
from qd.seeding import torch_seed
from runs.errors import RunError
from runs.training.answer import Answer
from runs.training.census import evaluate, lower_bounds
from runs.training.measures import measured
from runs.training.newborns import founder
from runs.training.optimise import batches, learning_rate, train
from runs.training.state import Individual, decode_state, encode_interface, encode_state
from runs.training.world import Examples, World

MOST_FITTED = 1000  # training examples, about, on which the fit is taken
INTERFACE = -1  # calibration organisms have negative numbers: -1 trains the interface, -2, -3 ... the rest


@dataclass(frozen=True, slots=True)
class Fit:
    """How an organism fits training examples after its training; losses as in `organisms.nn.example_losses`."""

    loss: float
    first: float  # of the very first batch, before any step
    constant: float  # of the best constant answer


@dataclass(frozen=True, slots=True)
class Assay:
    """Assay of one component over the probe examples, in nats."""

    mean: float
    lower: float  # 95 % bound of the mean


@dataclass(frozen=True, slots=True)
class Sample:
    """Components of one calibration organism at one checkpoint."""

    organism: int
    step: int
    measures: list[list[float]]  # raw, a row for each component
    even: list[list[float]]  # the same over every second probe example
    odd: list[list[float]]


def interface(world: World) -> Answer:
    """Train one organism together with its stem and readout, which then stay as they are for all others.

    The report is its `Fit`.

    Raises
    ------
    RunError
        If a loss is not finite.
    """
    generator = torch.Generator().manual_seed(torch_seed(world.config.seed, 0, "interface"))
    drawn = world.species.interface(generator)
    individual = founder(world, INTERFACE, {name: t.to(world.device) for name, t in drawn.items()})
    steps = world.config.calibration.steps
    loss = train(
        world, individual, batches(world, INTERFACE, 0, steps), learning_rate(world, steps), interface=True
    )
    _check(individual, loss)
    return fit(world, individual), encode_interface(individual.organism.interface), {}


def reference(world: World, number: int) -> Answer:
    """Train a gene-diverse organism on the interface and measure its components as it goes.

    Raises
    ------
    RunError
        If a loss is not finite.
    """
    individual = founder(world, number)
    settings = world.config.calibration
    indices = batches(world, number, 0, settings.steps)
    rate = learning_rate(world, settings.steps)
    samples = []
    for share in settings.checkpoints:
        until = max(1, round(share * settings.steps))
        if until == individual.step:
            continue
        _check(individual, train(world, individual, indices[individual.step : until], rate))
        samples.append(_sample(world, individual))
    return samples, encode_state(individual), {}


def assays(world: World, state: bytes) -> Answer:
    """Assay every component of a calibration organism in the reference hosts; the report is an `Assay` of each."""
    drops = world.species.assay(decode_state(world, state).organism, world.hosts)
    pairs = zip(drops.mean(-1).tolist(), lower_bounds(drops).tolist(), strict=True)
    return [Assay(mean, lower) for mean, lower in pairs], b"", {}


def fit(world: World, individual: Individual) -> Fit:
    """Return how a trained organism fits up to about a thousand training examples, evenly spaced."""
    step = max(1, len(world.train) // MOST_FITTED)
    examples = Examples(world.train.inputs[::step], world.train.targets[::step])
    loss, _ = evaluate(world, individual.organism, examples)
    first = math.nan if individual.first_loss is None else individual.first_loss
    return Fit(loss, first, constant_loss(world.task, examples.targets.cpu().numpy()))


def constant_loss(task: Task, targets: np.ndarray) -> float:
    """Return the loss of the best constant answer: the entropy of the classes in nats, or the outputs' mean variance.

    Source: what a network without inputs can reach, under `organisms.nn.example_losses`.
    """
    if task.regression:
        return float(targets.reshape(-1, task.outputs).astype(np.float64).var(axis=0).mean())
    shares = np.bincount(targets.ravel()) / targets.size
    return -math.fsum(share * math.log(share) for share in shares.tolist() if share > 0)


def _check(individual: Individual, loss: float) -> None:
    """Stop a calibration whose loss is not finite: there is nothing yet to go back to."""
    if not math.isfinite(loss):
        raise RunError(
            f"the training loss of organism {individual.number} became {loss} in calibration, optimizer step "
            f"{individual.step}; lower training.learning_rate or training.clip"
        )


def _sample(world: World, individual: Individual) -> Sample:
    examples = world.probe
    parts = (examples, _every_second(examples, 0), _every_second(examples, 1))
    whole, even, odd = (_measures(world, individual.organism, part) for part in parts)
    return Sample(individual.number, individual.step, whole, even, odd)


def _measures(world: World, organism: Organism, examples: Examples) -> list[list[float]]:
    probe = world.species.probe(organism, examples.inputs, examples.targets)
    return measured(world, organism, probe, examples).tolist()


def _every_second(examples: Examples, first: int) -> Examples:
    return Examples(examples.inputs[first::2], examples.targets[first::2])
