"""The job of emitters: children are made of elites and scored in the reference hosts; those that may win come back."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from archive_store.encoding import decode_genome, encode_genome
from qd.canonical import sha256
from qd.emitters.contest import Contest
from qd.emitters.kinds import kind_of
from qd.emitters.plan import child_id
from qd.emitters.records import Emission, Emitted, Tried
from qd.emitters.strategy import points
from qd.fitness import candidate
from qd.records import Candidate, Child, Genome, Scored
from qd.seeding import generator
from runs.errors import RAISED, RunError, readable, told
from runs.machine.clock import Clock
from runs.machine.memory import peak_memory
from runs.training.answer import Answer, EmitReport
from runs.training.guests import scored
from runs.training.search.emitters import emitter_of
from runs.training.search.fostering import fostered
from runs.training.variator import Variator
from runs.training.world import World


def emit(
    world: World, order: Emission, genomes: Mapping[str, bytes], contest: Contest, clock: Clock
) -> Answer:
    """Make the children of an emission and score them; the report says what came of it.

    Parameters
    ----------
    world
        Configuration, data, interface and reference hosts.
    order
        What is asked for.
    genomes
        Encoded parents, by digest.
    contest
        What the children have to beat.
    clock
        Seconds, for the report's timings alone.
    """
    started = clock()
    children = conceived(world, order, genomes)
    made = clock()
    places, spent = _raced(world, order, children, contest)
    found = scored(world, [children[place] for place in places], world.hosts, world.probe)
    spent += _assay_flops(world, [children[place] for place in places], len(world.probe))
    rows = dict(zip(places, found, strict=True))
    useful = {place: row for place, row in rows.items() if _is_finite(row) and row.assay_lower > 0}
    encoded = {place: encode_genome(children[place]) for place in useful}
    competing = [
        _child(world, order, children[place], place, sha256(encoded[place]), row)
        for place, row in useful.items()
    ]
    entrants = [candidate(each, order.round, contest.yardstick) for each in competing]
    contenders = tuple(competing[index] for index in contest.contenders(entrants))
    tried = dict(zip(useful, _tried(entrants, contest), strict=True))
    assays = [row.assay for row in rows.values() if math.isfinite(row.assay)]
    report = Emitted(
        round=order.round,
        chunk=order.chunk,
        scored=len(places),
        useful=len(useful),
        mean_assay=math.fsum(assays) / len(assays) if assays else None,
        flops=spent + _training_flops(world, order, children),
        contenders=contenders,
        tried=tuple(tried.get(place) for place in range(len(children))) if order.campaign is not None else (),
    )
    seconds = {"vary": made - started, "score": clock() - made, "total": clock() - started}
    return (
        EmitReport(report, seconds, peak_memory()),
        b"",
        {each.genome: encoded[each.component.slot] for each in contenders},
    )


def conceive(world: World, order: Emission, genomes: Mapping[str, bytes]) -> Answer:
    """Make the children of an emission again, all of them, without scoring any: for genomes that were lost.

    Parameters
    ----------
    world
        Configuration, data, interface and reference hosts.
    order
        As it is journaled.
    genomes
        Encoded parents, by digest.
    """
    encoded = [encode_genome(child) for child in conceived(world, order, genomes)]
    return None, b"", {sha256(data): data for data in encoded}


def conceived(world: World, order: Emission, genomes: Mapping[str, bytes]) -> list[Genome]:
    """Return the children of an emission, each from a stream of its own.

    Parameters
    ----------
    world
        Configuration, data, interface and reference hosts.
    order
        What is asked for.
    genomes
        Encoded parents, by digest.

    Raises
    ------
    RunError
        If a parent or a child does not fit the family, or a user's emitter raises.
    """
    pool = world.species.organism(world.interface).pool
    parents = [decode_genome(genomes[parent.genome]) for parent in order.parents]
    with readable("a parent's genome"):
        for parent in parents:
            pool.check(parent)
    make, children = _maker(world, order), []
    for place, drawn in enumerate(order.children):
        stream = generator(world.config.seed, order.round, f"child:{order.chunk}:{place}")
        try:
            child = make(place, [parents[one] for one in drawn], Variator(world.species, stream))
            pool.check(child)
        except RAISED as error:
            raise RunError(f"the emitter {order.emitter} made no child: {told(error)}") from error
        children.append(child)
    if kind_of(order.emitter).trained:
        children = fostered(world, children, _batches(world, order), world.config.emitters.learning_rate)
    return children


def _maker(world: World, order: Emission) -> Callable[[int, Sequence[Genome], Variator], Genome]:
    """Return what makes a child, by its place, of its parents."""
    if order.campaign is None:
        emitter = emitter_of(order.emitter)
        return lambda place, parents, vary: emitter(parents, vary, world.config)
    dimension = len(world.species.genes) + len(order.parents) - 1
    settings = world.config
    asked = points(
        order.campaign, len(order.children), dimension, settings.emitters.cma_sigma, settings.seed
    ).tolist()
    return lambda place, parents, vary: vary.mixed(parents, asked[place])


def _batches(world: World, order: Emission) -> torch.Tensor:
    settings = world.config
    stream = generator(settings.seed, order.round, f"fostering:{order.chunk}")
    size = (settings.emitters.steps, settings.training.batch)
    return torch.from_numpy(stream.integers(0, len(world.train), size=size)).to(world.device)


def _tried(entrants: Sequence[Candidate], contest: Contest) -> list[Tried]:
    cells = contest.cells([entrant.behaviour for entrant in entrants]).tolist()
    return [Tried(cell, entrant.objective) for cell, entrant in zip(cells, entrants, strict=True)]


def _raced(
    world: World, order: Emission, children: Sequence[Genome], contest: Contest
) -> tuple[list[int], float]:
    """Return the children that a part of the probe split does not rule out, and the counted FLOPs of finding out.

    Ruled out is whose assay's upper bound there, one-sided at 95 %, is not above 0 or would not beat the elite of the
    cell in which it lies there.
    """
    if len(world.heat) == len(world.probe) or order.campaign is not None:  # which wants to know of all
        return list(range(len(children))), 0.0
    found = scored(world, children, world.heat_hosts, world.heat)
    hopeful = [
        place
        for place, row in enumerate(found)
        if _is_finite(row) and row.assay_upper > 0 and _may_win(row, contest)
    ]
    return hopeful, _assay_flops(world, children, len(world.heat))


def _may_win(row: Scored, contest: Contest) -> bool:
    behaviour, _ = contest.yardstick.ranges.behaviour(row.measures)
    most = None if row.worth is None else 1.0  # of a worth no bound is known but its largest value
    best = contest.yardstick.objective(row.assay_upper, row.flops, row.gradient, most)
    return best > float(contest.held[contest.cells([behaviour])[0]])


def _is_finite(row: Scored) -> bool:
    numbers = [*row.measures, row.assay, row.assay_lower, row.gradient]
    return bool(np.isfinite([*numbers, *([] if row.worth is None else [row.worth])]).all())


def _child(world: World, order: Emission, child: Genome, place: int, genome: str, row: Scored) -> Child:
    parents = [order.parents[one] for one in order.children[place]]
    return Child(
        component=child_id(world.config.organism.count, order, place),
        parents=tuple(parent.component for parent in parents),
        lineage=parents[0].lineage,
        depth=child.depth,
        genes=child.genes,
        genome=genome,
        measures=row.measures,
        assay=row.assay,
        assay_lower=row.assay_lower,
        gradient=row.gradient,
        flops=row.flops,
        worth=row.worth,
    )


def _assay_flops(world: World, genomes: Sequence[Genome], examples: int) -> float:
    """Return the counted FLOPs of grafts: one forward pass of the component for each host and example."""
    return examples * len(world.hosts) * math.fsum(world.species.cost(each.genes)[0] for each in genomes)


def _training_flops(world: World, order: Emission, children: Sequence[Genome]) -> float:
    """Return the counted FLOPs of training in the hosts: a step is three forward passes."""
    if not kind_of(order.emitter).trained:
        return 0.0
    examples = world.config.emitters.steps * world.config.training.batch
    return 3.0 * examples * math.fsum(world.species.cost(child.genes)[0] for child in children)
