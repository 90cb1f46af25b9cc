"""Shadows of a birth: the same state goes on with the newborn, with other material in its place, and with nothing.

A shadow trains for some rounds as the organism would, on the same batches, without births and deaths of its own, and
what it becomes is thrown away but for its losses. So what a birth was worth is measured against what else could have
been born, in the same organism at the same moment.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from organisms.species import Organism
from qd import variation
from qd.genes import random_genes
from qd.records import Birth, Decision, Genome, Shadow, Trial
from qd.seeding import generator
from runs.training.answer import Answer
from runs.training.births.newborns import newborn
from runs.training.births.order import obeyed
from runs.training.births.trial import as_born
from runs.training.census import evaluate
from runs.training.optimise import batches, learning_rate, train
from runs.training.world import World

ROUNDS = (1, 5)  # after which losses are taken


def shadow(
    world: World,
    state: bytes | None,
    order: Decision,
    genomes: Mapping[str, bytes],
    trials: Sequence[Trial],
    slot: int,
    material: str,
) -> Answer:
    """Return the losses of an organism at a birth and after `ROUNDS` rounds, with one material in the newborn's slot.

    Parameters
    ----------
    world
        Configuration, data, interface and reference hosts.
    state, order, genomes
        As the trainer was given them (`runs.trainer.advance`).
    trials
        What became of the births that were tried.
    slot
        Of the birth that is looked at.
    material
        One of `qd.lifecycle.trial.MATERIALS`.
    """
    of_slot = {trial.slot: trial for trial in trials}

    def instead(organism: Organism, birth: Birth) -> tuple[Genome, bool] | None:
        trial = of_slot.get(birth.slot)
        number = 0 if trial is None else trial.chosen
        if number is None:
            return None
        made = as_born(world, newborn(world, organism, order, birth, number, genomes), trial, number)
        rises = trial is None or not trial.gains[number] > 0
        if birth.slot == slot:
            other = _material(world, organism, order, slot, made, material)
            return None if other is None else (other, rises)
        return made, rises

    individual, _, unproven = obeyed(world, state, order, genomes, instead)
    steps = world.config.training.steps_per_round
    rate = learning_rate(world, steps * world.config.rounds)
    losses = [evaluate(world, individual.organism, world.validation)[0]]
    for ahead in range(max(ROUNDS)):
        round = order.round + ahead
        if round > world.config.rounds or not math.isfinite(losses[-1]):
            break
        train(
            world,
            individual,
            batches(world, order.organism, round, steps),
            lambda step: individual.rate_factor * rate(step),
            unproven if ahead == 0 else (),
        )
        losses.append(evaluate(world, individual.organism, world.validation)[0])
    later = (losses[ahead] if ahead < len(losses) else None for ahead in ROUNDS)
    return Shadow(order.organism, order.round, slot, material, losses[0], *later), b"", {}


def _material(
    world: World, organism: Organism, order: Decision, slot: int, made: Genome, material: str
) -> Genome | None:
    """Return what is put into the slot in place of a newborn; None: nothing."""
    stream = generator(world.config.seed, order.round, f"shadow:{order.organism}:{slot}:{material}")
    layer = organism.pool.layer(slot)
    match material:
        case "born":
            return made
        case "random":
            drawn = world.species.random_genome(layer, random_genes(world.species.genes, stream), stream)
            return with_norms(drawn, made)
        case "genes":
            return variation.norm_matched(made, stream)
        case "clone":
            alive = [each for each, _ in organism.pool.alive() if organism.pool.layer(each) == layer]
            return organism.pool.genome(alive[int(stream.integers(len(alive)))]) if alive else None
    return None


def with_norms(genome: Genome, model: Genome) -> Genome:
    """Return a genome with each array scaled to the root mean square that `model`, another of the family, has there."""
    scaled = {}
    for name, array in genome.arrays.items():
        own, wanted = (_rms(each.arrays.get(name)) for each in (genome, model))
        scaled[name] = array if not (own and wanted) else (array * (wanted / own)).astype(array.dtype)
    return replace(genome, arrays=scaled)


def _rms(array: np.ndarray | None) -> float:
    return (
        0.0
        if array is None or not array.size
        else float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
    )
