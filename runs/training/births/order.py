"""What an order does to an organism before it trains: deaths, then births."""

from collections.abc import Mapping

from organisms.memory import Trace
from qd.lifecycle.trial import ROOM
from qd.records import Decision, Trial
from runs.training.births.newborns import Instead, bear, founder
from runs.training.state import Individual, decode_state
from runs.training.world import World


def obeyed(
    world: World,
    state: bytes | None,
    order: Decision,
    genomes: Mapping[str, bytes],
    instead: Instead | None = None,
) -> tuple[Individual, list[Trial], list[int]]:
    """Return an organism after the deaths and births of a round, the trials, and the slots whose gates rise from 0.

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
    instead
        Called with the organism and each birth that happens, for what is born of it (`runs.training.births.newborns`);
        None: what the trials say.
    """
    individual = _reseeded(world, order) if order.reseed else individual_of(world, state, order.organism)
    gave_way = {}
    for death in order.deaths:
        if death.happens:
            retired = individual.organism.pool.retire(death.component.slot)
            if death.reason == ROOM:
                gave_way[death.component.slot] = retired
    trials, unproven = bear(world, individual.organism, order, genomes, gave_way, instead)
    individual.round = order.round
    return individual, trials, [] if order.reseed else unproven  # a new organism has no others to be spared


def individual_of(world: World, state: bytes | None, number: int) -> Individual:
    """Return the organism of a state; a founder where there is none.

    Parameters
    ----------
    world
        Says how it is built.
    state
        Encoded.
    number
        Of the organism.
    """
    return founder(world, number) if state is None else decode_state(world, state)


def _reseeded(world: World, order: Decision) -> Individual:
    """Return an empty organism that keeps its optimizer step, which the schedules follow, and nothing else."""
    organism = world.species.organism(world.interface)
    return Individual(order.organism, organism, 0, order.step, Trace(world.config.training.ema), None)
