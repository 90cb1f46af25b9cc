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

from archive_store.encoding import encode_genome
from organisms.memory import Trace
from organisms.nn import example_losses, new_interface, score
from organisms.species import Organism, Probe
from qd.canonical import sha256
from qd.records import Census, Decision, Record
from qd.seeding import torch_seed
from runs.measuring import measured
from runs.newborns import bear, found
from runs.training import batches, learning_rate, train
from runs.world import Examples, Individual, World, decode_state, encode_interface, encode_state

Job = tuple[Any, bytes, dict[str, bytes]]
Clock = Callable[[], float]
ONE_SIDED_95 = 1.6448536269514722  # quantile of the standard normal distribution
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
    individual = _founder(world, order.organism) if state is None else decode_state(world, state)
    for death in order.deaths:
        if death.happens:
            individual.organism.pool.retire(death.component.slot)
    newborn = bear(world, individual.organism, order, genomes)
    individual.round = order.round
    steps = world.config.training.steps_per_round
    remembered = individual.trace.recall()
    prepared = clock()
    loss = train(
        world,
        individual,
        batches(world, order.organism, order.round, steps),
        learning_rate(world, steps * world.config.rounds),
        newborn,
    )
    trained = clock()
    records, encoded, probe, seconds = take_records(world, individual, clock)
    state = encode_state(individual)
    validation_loss, validation_score = evaluate(world, individual.organism, world.validation)
    last = order.round == world.config.rounds
    test_loss, test_score = evaluate(world, individual.organism, world.test) if last else (None, None)
    assert individual.first_loss is not None
    census = Census(
        organism=order.organism,
        round=order.round,
        step=individual.step,
        loss=loss,
        loss_ema=individual.first_loss if remembered is None else remembered,
        first_loss=individual.first_loss,
        probe_loss=probe.loss,
        validation_loss=validation_loss,
        validation_score=validation_score,
        test_loss=test_loss,
        test_score=test_score,
        state=sha256(state),
        records=tuple(records),
    )
    seconds |= {"prepare": prepared - started, "train": trained - prepared, "total": clock() - started}
    return Report(census, seconds), state, encoded


def interface(world: World) -> Job:
    """Train one organism together with its stem and readout, which then stay as they are for all others."""
    generator = torch.Generator().manual_seed(torch_seed(world.config.seed, 0, "interface"))
    drawn = new_interface(world.task, world.config.organism.dim, generator)
    individual = _founder(world, INTERFACE, {name: t.to(world.device) for name, t in drawn.items()})
    steps = world.config.calibration.steps
    loss = train(
        world, individual, batches(world, INTERFACE, 0, steps), learning_rate(world, steps), interface=True
    )
    return loss, encode_interface(individual.organism.interface), {}


def reference(world: World, number: int) -> Job:
    """Train a gene-diverse organism on the interface and measure its components as it goes."""
    individual = _founder(world, number)
    settings = world.config.calibration
    indices = batches(world, number, 0, settings.steps)
    rate = learning_rate(world, settings.steps)
    samples = []
    for share in settings.checkpoints:
        until = max(1, round(share * settings.steps))
        if until == individual.step:
            continue
        train(world, individual, indices[individual.step : until], rate)
        samples.append(_sample(world, individual))
    return samples, encode_state(individual), {}


def assays(world: World, state: bytes) -> Job:
    """Assay every component of a calibration organism in the reference hosts, in nats."""
    individual = decode_state(world, state)
    return world.species.assay(individual.organism, world.hosts).mean(-1).tolist(), b"", {}


def take_records(
    world: World, individual: Individual, clock: Clock
) -> tuple[list[Record], dict[str, bytes], Probe, dict[str, float]]:
    """Measure, ablate and assay every component, and encode its genome."""
    organism, pool = individual.organism, individual.organism.pool
    started = clock()
    probe = world.species.probe(organism, world.probe.inputs, world.probe.targets)
    measures = measured(world, organism, probe, world.probe).tolist()
    looked = clock()
    drops = world.species.assay(organism, world.hosts)
    means, lower = drops.mean(-1).tolist(), lower_bounds(drops).tolist()
    assayed = clock()
    records, encoded = [], {}
    for index, (slot, occupant) in enumerate(pool.alive()):
        data = encode_genome(pool.genome(slot))
        digest = sha256(data)
        encoded[digest] = data
        flops, moved = world.species.cost(occupant.genes)
        records.append(
            Record(
                component=occupant.component,
                parents=occupant.parents,
                lineage=occupant.lineage,
                depth=pool.layer(slot),
                genes=occupant.genes,
                genome=digest,
                age=individual.round - max(occupant.component.born, 1) + 1,
                measures=tuple(measures[index]),
                assay=means[index],
                assay_lower=lower[index],
                ablation=float(probe.ablations[index]),
                gradient=float(probe.gradients[index]),
                flops=float(flops),
                bytes=float(moved),
            )
        )
    records.sort(key=lambda record: record.component)
    seconds = {"probe": looked - started, "assay": assayed - looked, "genomes": clock() - assayed}
    return records, encoded, probe, seconds


def lower_bounds(drops: Tensor) -> Tensor:
    """Lower 95 % bound of each row's mean over examples: mean - 1.645 standard errors (normal, one-sided)."""
    error = drops.std(-1) / math.sqrt(drops.shape[-1])
    return drops.mean(-1) - ONE_SIDED_95 * error


@torch.no_grad()
def evaluate(world: World, organism: Organism, examples: Examples) -> tuple[float, float]:
    """Loss and score of an organism on a split, in pieces of bounded size."""
    chunk = max(1, 2**22 // max(1, world.task.length * world.task.outputs))
    outputs = torch.cat([organism(part) for part in examples.inputs.split(chunk)])
    losses = example_losses(world.task, outputs, examples.targets)
    return float(losses.double().mean()), score(world.task, outputs, examples.targets)


def _founder(world: World, number: int, drawn: Mapping[str, Tensor] | None = None) -> Individual:
    return Individual(number, found(world, number, drawn), 0, 0, Trace(world.config.training.ema), None)


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
