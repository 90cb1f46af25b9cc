"""Trials of births: each candidate is grafted alone into the organism, on training examples that no batch uses."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from organisms.pool import Retired
from organisms.species import Organism
from qd.lifecycle.trial import choose
from qd.records import Birth, Genome, Trial
from qd.variation import scaled
from runs.training.census import evaluate
from runs.training.guests import filled
from runs.training.world import World


def tried(
    world: World, organism: Organism, birth: Birth, candidates: Sequence[Genome], gave_way: Retired | None
) -> Trial:
    """Return what each candidate would do for the organism at once, at full gate, and which of them is born.

    The gain is the mean loss of the organism before the birth minus that with the candidate, in nats, the largest over
    the strengths of `lifecycle.strengths` (the first of equal ones): what was learned beside other components mostly
    writes too much here. Where a component gave way for the birth, "before" is with it, so that the newborn must be
    worth more than that one.

    Parameters
    ----------
    world
        Has the examples of trials.
    organism
        Has the slot of the birth empty.
    birth
        The birth.
    candidates
        Its newborns, of which one may be born.
    gave_way
        What was in the slot before, if it is for this birth that it was emptied.
    """
    if gave_way is not None:
        organism.pool.restore(birth.slot, gave_way)
    before, _ = evaluate(world, organism, world.trial)
    if gave_way is not None:
        organism.pool.retire(birth.slot)
    strengths = world.config.lifecycle.strengths if _outputs(world) else (1.0,)
    scales = [scaled(each, _outputs(world), strength) for strength in strengths for each in candidates]
    losses = losses_with(world, organism, scales).mean(-1).view(len(strengths), len(candidates)).numpy()
    best = np.where(np.isnan(losses), math.inf, losses).argmin(0)
    gains = tuple((before - losses[best, np.arange(len(candidates))]).tolist())
    return Trial(
        birth.slot,
        before,
        gains,
        choose(birth, gains, world.config.lifecycle.only_gains),
        tuple(strengths[place] for place in best),
        len(world.trial) * math.fsum(world.species.cost(each.genes)[0] for each in scales),
    )


def as_born(world: World, candidate: Genome, trial: Trial | None, number: int) -> Genome:
    """Return a candidate of a birth at the strength that its trial found; as it is where there was none.

    Parameters
    ----------
    world
        Its family says which arrays are scaled.
    candidate
        The genome.
    trial
        Of the birth.
    number
        Of the candidate.
    """
    if trial is None:
        return candidate
    return scaled(candidate, _outputs(world), trial.strengths[number])


def _outputs(world: World) -> Sequence[str]:
    return getattr(world.species, "outputs", ())


@torch.no_grad()
def losses_with(world: World, organism: Organism, candidates: Sequence[Genome]) -> Tensor:
    """Return the organism's loss on each example of a trial with each candidate alone, float64 [K, P].

    Parameters
    ----------
    world
        Has the examples of trials.
    organism
        The organism.
    candidates
        To be grafted beside its own components; they take no slots of it.
    """
    host = world.species.host(organism, world.trial.inputs, world.trial.targets)
    losses = torch.zeros(len(candidates), len(world.trial), dtype=torch.float64)
    for guests, places in filled(world, candidates):
        losses[places] = world.species.guest_losses(guests, host).double().cpu()
    return losses
