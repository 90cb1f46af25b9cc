"""What else could be done around a birth: how a newborn is trained, how many candidates, who makes room for it.

As in `births.py`: organisms are trained without births and deaths, something is done to each after some of the rounds,
and they are trained on for five rounds on the same batches. ``growth.py newborns|room [TASK] [SEEDS]``.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from runs.machine import settings

settings.prepare()

import torch

from organisms.nn import example_losses
from organisms.species import Organism
from qd.records import Death, Decision
from runs.calibration.constants import Calibration
from runs.training.births import order as ordered
from runs.training.births.newborns import bear
from runs.training.state import decode_state
from runs.training.world import World
from tests.benchmarks.births import Past, Told, calibrated, lives, one, order_for, report, trained_on

ROUNDS = (4, 8)
MANY = 3  # components that die at once


def main() -> None:
    """Measure and print."""
    what = sys.argv[1] if len(sys.argv) > 1 else "newborns"
    task = sys.argv[2] if len(sys.argv) > 2 else "digits"
    seeds = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    told: dict[str, dict[tuple[int, int, int], Told]] = {}
    for seed in range(seeds):
        changes = ("organism.initial=12",) if what == "room" else ()
        world, calibration = calibrated(task, seed, *changes)
        genomes: dict[str, bytes] = {}
        for past in lives(world, calibration, genomes, ROUNDS):
            for organism in past.states:
                ways = (
                    rooms(world, calibration, past, organism, genomes)
                    if what == "room"
                    else newborns(world, calibration, past, organism, genomes)
                )
                for name, found in ways:
                    told.setdefault(name, {})[seed, organism, past.round] = found
    report(told, next(iter(told)))


def newborns(
    world: World, calibration: Calibration, past: Past, organism: int, genomes: dict[str, bytes]
) -> Iterator[tuple[str, Told]]:
    """Give the same birth with its newborn trained in several ways, and with fewer candidates."""
    given = (world, calibration, past, organism, "archive", genomes)
    yield "gate 1 at once", one(*given)
    with changed(lambda pool, slots: slots):
        yield "gate from 0", one(*given)
    with changed(inherit):
        yield "moments of mates", one(*given)
    yield "one candidate", one(*given, candidates=1)


@contextmanager
def changed(treat: Callable[[Any, list[int]], list[int]]) -> Iterator[None]:
    """Treat newborns otherwise after their birth; what is returned are the slots whose gates rise from 0."""

    def otherwise(world: World, organism: Organism, order: Decision, *rest: Any) -> Any:
        trials, _ = bear(world, organism, order, *rest)
        born = [slot for slot, one in organism.pool.alive() if one.component.born == order.round]
        return trials, treat(organism.pool, born)

    with patch.object(ordered, "bear", otherwise):
        yield


def inherit(pool: Any, slots: list[int]) -> list[int]:
    """Give newborns the mean second moment of the others in their layer, and their step count."""
    for slot in slots:
        mates = [s for s, _ in pool.alive() if pool.layer(s) == pool.layer(slot) and s not in slots]
        pool.counts[slot] = pool.counts[mates].max()
        for second in pool.second.values():
            second[slot] = second[mates].mean(0)
    return []


def rooms(
    world: World, calibration: Calibration, past: Past, organism: int, genomes: dict[str, bytes]
) -> Iterator[tuple[str, Told]]:
    """Do something about a full pool: nothing, a swap, or several deaths."""
    plain = Decision(organism, past.round + 1, 0, "full", 0.1, 0.5, None, (), (), False)
    yield "nothing", trained_on(world, past, organism, plain, genomes)
    swap = order_for(world.config, calibration, past, organism, "archive", room=True, gentle=0.0, quiet=0.0)
    swap = swap if swap.deaths else plain  # the birth's draw was against it
    yield "swap if it gains", trained_on(world, past, organism, swap, genomes)
    weakest = min(past.censuses[organism][-1].records, key=lambda record: record.ablation)
    killed = replace(plain, deaths=(death(weakest.component),))
    yield "weakest dies", trained_on(world, past, organism, killed, genomes)
    for name, chosen in (("weakest one by one", apart), ("weakest jointly", jointly)):
        slots = chosen(world, decode_state(world, past.states[organism]).organism)
        records = {r.component.slot: r.component for r in past.censuses[organism][-1].records}
        deaths = tuple(death(records[slot]) for slot in slots)
        yield name, trained_on(world, past, organism, replace(plain, deaths=deaths), genomes)


def death(component: Any) -> Death:
    """Return a certain death."""
    return Death(component, 0.0, 0.0, 1.0, 0.0, "fitness", True)


def apart(world: World, organism: Organism) -> Sequence[int]:
    """Return the slots of least use, each gated off alone."""
    uses = {slot: losses_without(world, organism, [slot]) for slot, _ in organism.pool.alive()}
    return sorted(uses, key=lambda slot: uses[slot])[:MANY]


def jointly(world: World, organism: Organism) -> Sequence[int]:
    """Return slots chosen greedily: each is of least use after those before it are gone."""
    gone: list[int] = []
    for _ in range(MANY):
        left = [slot for slot, _ in organism.pool.alive() if slot not in gone]
        gone.append(min(left, key=lambda slot: losses_without(world, organism, [*gone, slot])))
    return gone


@torch.no_grad()
def losses_without(world: World, organism: Organism, slots: Sequence[int]) -> float:
    """Return the probe loss with slots gated off."""
    gates = torch.ones(organism.pool.size)
    gates[list(slots)] = 0.0
    outputs = organism(world.probe.inputs, gates)
    return float(example_losses(world.task, outputs, world.probe.targets).double().mean())


if __name__ == "__main__":
    main()
