"""The jobs of trainers, by name, and the main one: `advance`, which carries one organism through one round.

A job is a pure function of the world and its arguments. It returns ``(report, payload, genomes)``: a small value for
the driver to read at once, bytes to pass on or store (a state), and encoded genomes by digest to fetch if they win a
cell.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

from qd.canonical import sha256
from qd.lifecycle.trial import MATERIALS
from qd.records import Census, Decision
from runs.machine.clock import Clock
from runs.machine.memory import peak_memory
from runs.training.answer import Answer, RoundReport
from runs.training.births.order import individual_of, obeyed
from runs.training.births.shadows import shadow
from runs.training.calibration_jobs import assays, interface, reference
from runs.training.census import take_census
from runs.training.finiteness import after_training, of_census
from runs.training.memory import StepMemory
from runs.training.optimise import batches, learning_rate, train
from runs.training.search.emit import conceive, emit
from runs.training.search.rescore import rescore
from runs.training.state import encode_state
from runs.training.world import World


def advance(
    world: World, state: bytes | None, order: Decision, genomes: Mapping[str, bytes], clock: Clock
) -> Answer:
    """Carry one organism through one round: deaths, births, training, census.

    Where a number is not finite the round is undone: the state is the one before it (the founder's in the
    first round) at half its learning rate, and the census says why and has no records.

    Parameters
    ----------
    world
        Configuration, data, interface and reference hosts.
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
    individual, trials, newborn = obeyed(world, state, order, genomes)
    remembered = individual.trace.recall()
    steps = world.config.training.steps_per_round
    rate = learning_rate(world, steps * world.config.rounds)
    budget = world.config.lifecycle.memory_budget
    memory = None if budget is None else StepMemory(individual.organism)
    prepared = clock()
    loss = train(
        world,
        individual,
        batches(world, order.organism, order.round, steps),
        lambda step: individual.rate_factor * rate(step),
        newborn,
        watch=nullcontext if memory is None else memory.step,
    )
    seconds = {"prepare": prepared - started, "train": clock() - prepared}
    reason = after_training(individual, loss)
    if reason is None:
        individual.quarantines = 0
        census, after, encoded, looking = take_census(world, individual, loss, remembered, clock, order.last)
        census = replace(
            census,
            trials=tuple(trials),
            flops_assays=census.flops_assays + math.fsum(trial.flops for trial in trials),
            memory=None if memory is None else memory.largest,
        )
        seconds |= looking
        reason = of_census(census, world.measures)
    if reason is not None:
        census, after = _quarantined(world, state, order, reason)
        encoded = {}
    seconds |= {"total": clock() - started}
    return RoundReport(census, seconds, peak_memory()), after, encoded


def _quarantined(world: World, state: bytes | None, order: Decision, reason: str) -> tuple[Census, bytes]:
    """Return the census of a round that is undone, and the state to go on from."""
    individual = individual_of(world, state, order.organism)
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


JOBS: Mapping[str, Callable[..., Answer]] = {
    "advance": advance,
    "advance again": advance,
    "audit": advance,
    "interface": interface,
    "reference": reference,
    "assays": assays,
    "emit": emit,
    "audit emit": emit,
    "conceive": conceive,
    "rescore": rescore,
    **{f"shadow {material}": shadow for material in MATERIALS},
}
TIMED: Sequence[str] = ("advance", "advance again", "audit", "emit", "audit emit")  # jobs that take a clock
