"""What trainers do: pure jobs from a world and values to values.

Every job gives ``(report, payload, genomes)``: a small value for the driver to read at once, bytes to pass
on or store (a state), and encoded genomes by digest to fetch if they win a cell.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from organisms.memory import Trace
from organisms.species import Organism
from qd.canonical import sha256
from qd.records import Census, Decision
from qd.seeding import torch_seed
from runs.errors import RunError
from runs.training.census import take_census
from runs.training.finiteness import after_training, of_census
from runs.training.measures import measured
from runs.training.newborns import bear, found
from runs.training.optimise import batches, learning_rate, train
from runs.training.world import Examples, Individual, World, decode_state, encode_interface, encode_state

Job = tuple[Any, bytes, dict[str, bytes]]
Clock = Callable[[], float]
INTERFACE = -1  # calibration organisms have negative numbers: -1 trains the interface, -2, -3 ... the rest


@dataclass(frozen=True, slots=True)
class Report:
    """What `advance` tells the driver: the census, and seconds that no digest covers."""

    census: Census
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """Components of one calibration organism at one checkpoint."""

    organism: int
    step: int
    measures: list[list[float]]  # raw, a row for each component
    even: list[list[float]]  # the same over every second probe example
    odd: list[list[float]]


def advance(
    world: World, state: bytes | None, order: Decision, genomes: Mapping[str, bytes], clock: Clock
) -> Job:
    """Carry one organism through one round: deaths, births, training, census.

    Where a number is not finite the round is undone: the state is the one before it (the founder's in the
    first round) at half its learning rate, and the census says why and has no records.

    Parameters
    ----------
    state
        Encoded state at the end of the round before; None founds the organism.
    order
        What was decided for this round.
    genomes
        Encoded parents of the births, by digest.
    clock
        Seconds, for the report's timings alone.
    """
    started = clock()
    individual, newborn = _prepared(world, state, order, genomes)
    remembered = individual.trace.recall()
    steps = world.config.training.steps_per_round
    rate = learning_rate(world, steps * world.config.rounds)
    prepared = clock()
    loss = train(
        world,
        individual,
        batches(world, order.organism, order.round, steps),
        lambda step: individual.rate_factor * rate(step),
        newborn,
    )
    seconds = {"prepare": prepared - started, "train": clock() - prepared}
    reason = after_training(individual, loss)
    if reason is None:
        individual.quarantines = 0
        census, after, encoded, looking = take_census(world, individual, loss, remembered, clock)
        seconds |= looking
        reason = of_census(census, world.config.measures)
    if reason is not None:
        census, after = _quarantined(world, state, order, reason)
        encoded = {}
    return Report(census, seconds | {"total": clock() - started}), after, encoded


def interface(world: World) -> Job:
    """Train one organism together with its stem and readout, which then stay as they are for all others.

    Raises
    ------
    RunError
        If a loss is not finite.
    """
    generator = torch.Generator().manual_seed(torch_seed(world.config.seed, 0, "interface"))
    drawn = world.species.interface(generator)
    individual = _founder(world, INTERFACE, {name: t.to(world.device) for name, t in drawn.items()})
    steps = world.config.calibration.steps
    loss = train(
        world, individual, batches(world, INTERFACE, 0, steps), learning_rate(world, steps), interface=True
    )
    _check(individual, loss)
    return loss, encode_interface(individual.organism.interface), {}


def reference(world: World, number: int) -> Job:
    """Train a gene-diverse organism on the interface and measure its components as it goes.

    Raises
    ------
    RunError
        If a loss is not finite.
    """
    individual = _founder(world, number)
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


def assays(world: World, state: bytes) -> Job:
    """Assay every component of a calibration organism in the reference hosts, in nats."""
    individual = decode_state(world, state)
    return world.species.assay(individual.organism, world.hosts).mean(-1).tolist(), b"", {}


def _prepared(
    world: World, state: bytes | None, order: Decision, genomes: Mapping[str, bytes]
) -> tuple[Individual, list[int]]:
    """Give an organism after the births and deaths of a round, and the slots whose gates start at 0."""
    individual = _reseeded(world, order) if order.reseed else _before(world, state, order.organism)
    for death in order.deaths:
        if death.happens:
            individual.organism.pool.retire(death.component.slot)
    newborn = bear(world, individual.organism, order, genomes)
    individual.round = order.round
    return individual, [] if order.reseed else newborn  # a new organism has no others to be spared


def _before(world: World, state: bytes | None, number: int) -> Individual:
    return _founder(world, number) if state is None else decode_state(world, state)


def _reseeded(world: World, order: Decision) -> Individual:
    """Make an empty organism that remembers nothing but how far the schedules are."""
    organism = world.species.organism(world.interface)
    return Individual(order.organism, organism, 0, order.step, Trace(world.config.training.ema), None)


def _quarantined(world: World, state: bytes | None, order: Decision, reason: str) -> tuple[Census, bytes]:
    """Give the census of a round that is undone, and the state to go on from."""
    individual = _before(world, state, order.organism)
    individual.round = order.round
    individual.rate_factor /= 2
    individual.quarantines = 1 if order.reseed else individual.quarantines + 1
    after = encode_state(individual)
    remembered = individual.trace.recall()
    census = Census(
        organism=order.organism,
        round=order.round,
        step=individual.step,
        loss=math.nan,
        loss_ema=math.nan if remembered is None else remembered,
        first_loss=math.nan if individual.first_loss is None else individual.first_loss,
        probe_loss=math.nan,
        validation_loss=math.nan,
        validation_score=math.nan,
        test_loss=None,
        test_score=None,
        state=sha256(after),
        records=(),
        quarantine=reason,
    )
    return census, after


def _founder(world: World, number: int, drawn: Mapping[str, Tensor] | None = None) -> Individual:
    return Individual(number, found(world, number, drawn), 0, 0, Trace(world.config.training.ema), None)


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


JOBS: Mapping[str, Callable[..., Job]] = {
    "advance": advance,
    "audit": advance,
    "interface": interface,
    "reference": reference,
    "assays": assays,
}
TIMED: Sequence[str] = ("advance", "audit")  # jobs that take a clock
