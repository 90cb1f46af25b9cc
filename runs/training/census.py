"""The census of an organism after a round: losses and scores, and a record of every living component."""

import math
from collections.abc import Mapping
from numbers import Real

import torch
from torch import Tensor

from archive_store.encoding import encode_genome
from organisms.nn import example_losses, score
from organisms.species import PROPERTIES, Organism, Probe
from qd.canonical import sha256
from qd.records import Census, Record
from runs.errors import RunError
from runs.machine.clock import Clock
from runs.training.measures import asked, measured, worths
from runs.training.state import Individual, encode_state
from runs.training.usage import usage
from runs.training.world import Examples, World

ONE_SIDED_95 = 1.6448536269514722  # quantile of the standard normal distribution


def take_census(
    world: World,
    individual: Individual,
    loss: float,
    remembered: float | None,
    clock: Clock,
    last: bool = False,
) -> tuple[Census, bytes, dict[str, bytes], dict[str, float]]:
    """Return the census of an organism after a round, its state, its genomes by digest, and seconds by part.

    Parameters
    ----------
    world
        Configuration, data, interface and reference hosts.
    individual
        The organism.
    loss
        Mean training loss over the round, in nats.
    remembered
        Moving average of the training loss before the round; None: there was none.
    clock
        Seconds, for the timings alone.
    last
        Whether the run ends with this round, though it was given more: the last is tested.
    """
    records, encoded, probe, seconds = take_records(world, individual, clock)
    state = encode_state(individual)
    validation_loss, validation_score = evaluate(world, individual.organism, world.validation)
    last = last or individual.round == world.config.rounds
    test_loss, test_score = evaluate(world, individual.organism, world.test) if last else (None, None)
    test_metrics = own_metrics(world, individual.organism) if last else ()
    assert individual.first_loss is not None
    forward = math.fsum(record.flops for record in records)  # of all components, on one example
    settings = world.config.training
    passes = 3.0 * settings.steps_per_round * settings.batch * settings.loss.passes
    census = Census(
        organism=individual.number,
        round=individual.round,
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
        quarantine=None,
        test_metrics=test_metrics,
        flops_training=passes * forward,
        flops_assays=(1 + len(world.hosts)) * len(world.probe) * forward,
    )
    return census, state, encoded, seconds


def take_records(
    world: World, individual: Individual, clock: Clock
) -> tuple[list[Record], dict[str, bytes], Probe, dict[str, float]]:
    """Ablate every component at home, assay and measure it in the hosts, and encode its genome.

    Parameters
    ----------
    world
        Configuration, data, interface and reference hosts.
    individual
        The organism.
    clock
        Seconds, for the timings alone.

    Returns
    -------
    records, genomes, probe, seconds
        A record of every component in their order, their encoded genomes by digest, what the probe measured, and the
        seconds that the parts took.
    """
    organism, pool = individual.organism, individual.organism.pool
    started = clock()
    probe = world.species.probe(organism, world.probe.inputs, world.probe.targets)
    used = usage(world.task, probe)
    looked = clock()
    assay = world.species.assay(organism, world.hosts, asked(world))
    measures = measured(world, organism, assay, world.host_organisms, world.probe).tolist()
    worth = worths(world, assay)
    means, lower = assay.drops.mean(-1).tolist(), lower_bounds(assay.drops).tolist()
    assayed = clock()
    at_home = {name: probe.properties[name].tolist() for name in PROPERTIES if name in probe.properties}
    records, encoded = [], {}
    for index, (slot, occupant) in enumerate(pool.alive()):
        data = encode_genome(pool.genome(slot))
        digest = sha256(data)
        encoded[digest] = data
        flops, bytes_moved = world.species.cost(occupant.genes)
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
                gradient=float(assay.gradients[index]),
                flops=float(flops),
                bytes=float(bytes_moved),
                load=used[index].load,
                usage=used[index].by_kind,
                worth=worth[index],
                **{f"home_{name}": values[index] for name, values in at_home.items()},
            )
        )
    records.sort(key=lambda record: record.component)
    seconds = {"probe": looked - started, "assay": assayed - looked, "genomes": clock() - assayed}
    return records, encoded, probe, seconds


def lower_bounds(drops: Tensor) -> Tensor:
    """Return the lower 95 % bound of each row's mean over examples: mean - 1.645 standard errors (one-sided)."""
    error = drops.std(-1) / math.sqrt(drops.shape[-1])
    return drops.mean(-1) - ONE_SIDED_95 * error


def evaluate(world: World, organism: Organism, examples: Examples) -> tuple[float, float]:
    """Return the mean loss and the score of an organism on a split.

    Parameters
    ----------
    world
        Its task says which loss and score they are.
    organism
        The organism.
    examples
        The split.
    """
    given = outputs(world, organism, examples)
    losses = example_losses(world.task, given, examples.targets)
    return float(losses.double().mean()), score(world.task, given, examples.targets)


def own_metrics(world: World, organism: Organism) -> tuple[tuple[str, float], ...]:
    """Return what the task itself reports of an organism on the test split, in the task's order.

    Raises
    ------
    RunError
        If the metrics of a user's task are no numbers by name.
    """
    task = world.task
    if task.metrics is None:
        return ()
    found = task.metrics(outputs(world, organism, world.test).cpu().numpy(), task.test)
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Real) for name, value in found.items()
    ):
        raise RunError(f"the metrics of the task {task.name!r} must be numbers by name; it gave {found!r}")
    return tuple((name, float(value)) for name, value in found.items())


@torch.no_grad()
def outputs(world: World, organism: Organism, examples: Examples) -> Tensor:
    """Return the outputs of an organism for a split, computed in batches of bounded size.

    Parameters
    ----------
    world
        Its task says how large outputs are.
    organism
        The organism.
    examples
        The split.
    """
    chunk = max(1, 2**22 // max(1, world.task.length * world.task.outputs))
    return torch.cat([organism(part) for part in examples.inputs.split(chunk)])
