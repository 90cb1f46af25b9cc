"""The jobs of calibration: the interface, the reference organisms, their assays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from organisms.species import Organism
from organisms.task import Task
from qd.canonical import sha256
from qd.seeding import torch_seed
from runs.errors import RunError
from runs.training.answer import Answer
from runs.training.births.newborns import founder
from runs.training.build import frozen
from runs.training.census import evaluate, lower_bounds
from runs.training.measures import built_in, measured
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
class Worth:
    """What one component is worth to the reference hosts, over the probe examples."""

    mean: float  # of its assay, in nats
    lower: float  # 95 % bound of that mean
    gradient: float  # size of the gate gradient


@dataclass(frozen=True, slots=True)
class Sample:
    """Components of one calibration organism at one checkpoint, in the reference hosts that it is not itself."""

    organism: int
    step: int
    measures: list[list[float]]  # raw, a row for each component


@dataclass(frozen=True, slots=True)
class Sampled:
    """A calibration organism: its components at every checkpoint, and more of the last one's."""

    samples: tuple[Sample, ...]
    even: list[list[float]]  # measures at the last checkpoint over every second probe example
    odd: list[list[float]]
    worth: tuple[Worth, ...]


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
    """Train a gene-diverse organism on the interface.

    The report is a pair of optimizer step and digest of the state for each checkpoint, and the genomes are these states
    by digest.

    Raises
    ------
    RunError
        If a loss is not finite.
    """
    individual = founder(world, number)
    settings = world.config.calibration
    indices = batches(world, number, 0, settings.steps)
    rate = learning_rate(world, settings.steps)
    marks, states = [], {}
    for share in settings.checkpoints:
        until = max(1, round(share * settings.steps))
        if until == individual.step:
            continue
        _check(individual, train(world, individual, indices[individual.step : until], rate))
        state = encode_state(individual)
        marks.append((individual.step, sha256(state)))
        states[marks[-1][1]] = state
    return marks, encode_state(individual), states


def assays(world: World, number: int, states: Sequence[bytes]) -> Answer:
    """Assay and measure the components of a calibration organism in the reference hosts; the report is `Sampled`.

    Parameters
    ----------
    world
        Configuration, data, interface and reference hosts.
    number
        Of the organism; if it is a host itself, the other hosts are used.
    states
        Of the organism at every checkpoint, in rising order.
    """
    itself = INTERFACE - 1 - number
    others = [host for place, host in enumerate(world.host_organisms) if place != itself]
    hosts = frozen(world, others, world.probe)
    samples = []
    for state in states:
        individual = decode_state(world, state)
        last = state is states[-1]
        assay = world.species.assay(individual.organism, hosts, built_in(world), losses=last)
        rows = measured(world, individual.organism, assay, others, world.probe).tolist()
        samples.append(Sample(number, individual.step, rows))
    halves = [_every_second(world.probe, first) for first in (0, 1)]
    even, odd = (_measures(world, individual.organism, others, half) for half in halves)
    drops = assay.drops
    worth = zip(drops.mean(-1).tolist(), lower_bounds(drops).tolist(), assay.gradients.tolist(), strict=True)
    return Sampled(tuple(samples), even, odd, tuple(Worth(*each) for each in worth)), b"", {}


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


def _measures(
    world: World, organism: Organism, hosts: Sequence[Organism], examples: Examples
) -> list[list[float]]:
    assay = world.species.assay(organism, frozen(world, hosts, examples), built_in(world), losses=False)
    return measured(world, organism, assay, hosts, examples).tolist()


def _every_second(examples: Examples, first: int) -> Examples:
    return Examples(examples.inputs[first::2], examples.targets[first::2])
