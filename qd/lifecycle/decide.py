"""Births, deaths and freezes: pure decisions about one organism before one round.

`decide` reads the organism's own censuses and a view of the archive, nothing else. What it returns is a
record; trainers act on it, and replay derives it again.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from qd import chemotaxis
from qd.annealing import metropolis
from qd.canonical import canonical, sha256
from qd.fitness import shares
from qd.lifecycle import quarantine
from qd.lifecycle.comonad import relative_fitness_all
from qd.lifecycle.rules import Rules, culls, phase
from qd.measures import Ranges
from qd.records import Birth, Candidate, Census, ComponentId, Death, Decision, Record
from qd.seeding import generator, happens, uniform
from qd.view import View

BUDGET_CULL = 0.2  # share of an organism's components that one cull for memory takes


def loss_gate(census: Census, ratio: float) -> str | None:
    """Return why the lifecycle must stand still, or None.

    Births and deaths wait in the round after a quarantine, and while ``loss > ratio * max(moving average,
    first loss / 10)``: a diverging organism must not be blamed on its parts.
    """
    if census.quarantine is not None:
        return f"round {census.round} was quarantined: {census.quarantine}"
    limit = ratio * max(census.loss_ema, 0.1 * census.first_loss)
    if census.loss <= limit:
        return None
    return f"loss {census.loss:.4g} is over {limit:.4g}, {ratio:g} times its moving average"


def decide(
    rules: Rules,
    round: int,
    censuses: Sequence[Census],
    view: View,
    neighbours: Int64[np.ndarray, "cells k"],
    ranges: Ranges,
) -> Decision:
    """Decide what happens to one organism before one round.

    Parameters
    ----------
    rules
        The constants of the run.
    round
        The round to come, 2 or later.
    censuses
        All of the organism's own, oldest first; the last is that of the round before.
    view
        The archive at the end of round ``round - 1 - lag``.
    neighbours
        Nearest cells of each cell.
    ranges
        Which raw measures become 0 and 1.
    """
    census = censuses[-1]
    temperature = rules.temperature(census.step)
    hunger = chemotaxis.hunger(
        [past.validation_loss for past in censuses if past.quarantine is None], rules.window
    )
    reseed = quarantine.in_a_row(censuses) == quarantine.RESEED_AFTER
    frozen = None if reseed else loss_gate(census, rules.loss_ratio)
    now = phase(rules, round)
    deaths: tuple[Death, ...] = ()
    births: tuple[Birth, ...] = ()
    if reseed:
        births = quarantine.reseed(rules, round, census.organism, temperature, hunger, view, neighbours)
    elif frozen is None:
        if culls(rules, round):
            deaths = _deaths(rules, round, census, temperature, ranges)
        if now in ("gentle", "full") and rules.arm != "none":
            gone = {death.component for death in deaths if death.happens}
            survivors = [record for record in census.records if record.component not in gone]
            births = _births(rules, round, census, survivors, temperature, hunger, view, neighbours)
    return Decision(
        organism=census.organism,
        round=round,
        step=census.step,
        phase=now,
        temperature=temperature,
        hunger=hunger,
        frozen=frozen,
        births=births,
        deaths=deaths,
        reseed=reseed,
    )


def _deaths(
    rules: Rules, round: int, census: Census, temperature: float, ranges: Ranges
) -> tuple[Death, ...]:
    records = census.records
    fitness = shares([record.ablation for record in records])
    behaviours, _ = ranges.behaviours([record.measures for record in records])
    z = relative_fitness_all(behaviours, fitness, min(rules.neighbours, len(records) - 1))
    median = float(np.median(fitness))
    weakest_first = sorted(range(len(records)), key=lambda i: (fitness[i], records[i].component))
    over_budget = _over_budget(rules, records)
    allowed = _Allowance(rules, records, len(weakest_first) if over_budget else max(1, len(records) // 8))
    deaths = []
    for place, index in enumerate(weakest_first):
        record = records[index]
        name = f"cull:{record.component}"
        draw = uniform(rules.seed, round, name)
        if over_budget and place < math.ceil(BUDGET_CULL * len(records)):
            probability, reason = 1.0, "budget"
        elif fitness[index] < median and record.age >= rules.min_age and z[index] < rules.floor:
            probability, reason = 1 - metropolis(rules.floor - float(z[index]), temperature), "fitness"
        else:
            continue
        dies = happens(probability, draw) and allowed.take(record, reason)
        deaths.append(Death(record.component, float(z[index]), rules.floor, probability, draw, reason, dies))
    return tuple(deaths)


def _over_budget(rules: Rules, records: Sequence[Record]) -> bool:
    used = math.fsum(record.bytes for record in records)
    return rules.budget_bytes is not None and used > rules.budget_bytes


class _Allowance:
    """How many deaths one cull may still cause: few in all, and never below the least number in a layer."""

    def __init__(self, rules: Rules, records: Sequence[Record], deaths: int) -> None:
        self.min_alive = rules.min_alive
        self.left = deaths
        self.by_fitness = max(1, len(records) // 8)
        self.alive = [sum(record.depth == depth for record in records) for depth in range(rules.depth)]

    def take(self, record: Record, reason: str) -> bool:
        enough = self.alive[record.depth] > self.min_alive and self.left > 0
        if not enough or (reason == "fitness" and self.by_fitness == 0):
            return False
        self.left -= 1
        self.by_fitness -= reason == "fitness"
        self.alive[record.depth] -= 1
        return True


def _births(
    rules: Rules,
    round: int,
    census: Census,
    survivors: Sequence[Record],
    temperature: float,
    hunger: float,
    view: View,
    neighbours: Int64[np.ndarray, "cells k"],
) -> tuple[Birth, ...]:
    taken = {record.component.slot for record in survivors}
    births: list[Birth] = []
    for _ in range(rules.births_per_round):
        slot = _free_slot(rules, taken)
        if slot is None:
            break
        taken.add(slot)
        birth = _birth(rules, round, census.organism, slot, survivors, temperature, hunger, view, neighbours)
        if birth is not None:
            births.append(birth)
    return tuple(births)


def _free_slot(rules: Rules, taken: set[int]) -> int | None:
    """Return the first free slot of the emptiest layer."""
    layers = [range(depth * rules.capacity, (depth + 1) * rules.capacity) for depth in range(rules.depth)]
    free = [[slot for slot in layer if slot not in taken] for layer in layers]
    most = max(free, key=len)
    return most[0] if most else None


def _birth(
    rules: Rules,
    round: int,
    organism: int,
    slot: int,
    survivors: Sequence[Record],
    temperature: float,
    hunger: float,
    view: View,
    neighbours: Int64[np.ndarray, "cells k"],
) -> Birth | None:
    depth = slot // rules.capacity
    stream = generator(rules.seed, round, f"parent:{organism}:{slot}")
    parent = chemotaxis.sample(view, neighbours, hunger, rules.tau, stream, depth)
    median = view.median_objective
    if parent is None or median is None:
        return None
    context = f"birth:{organism}:{slot}:{behaviour_hash(parent)}"
    draw = uniform(rules.seed, round, context)
    probability = metropolis(median - parent.objective, temperature)
    second = None
    if rules.arm == "archive" and stream.random() < rules.line_share:
        second = chemotaxis.sample(view, neighbours, hunger, rules.tau, stream, depth)
    operator, parents, genomes, lineage = _material(rules.arm, parent, second, survivors, depth)
    return Birth(
        slot=slot,
        arm=rules.arm,
        operator=operator,
        parents=parents,
        genomes=genomes,
        lineage=lineage,
        objective=parent.objective,
        threshold=median,
        sigma=rules.sigma * temperature / rules.start_temperature,
        probability=probability,
        draw=draw,
        context=context,
        happens=happens(probability, draw),
    )


def _material(
    arm: str, parent: Candidate, second: Candidate | None, survivors: Sequence[Record], depth: int
) -> tuple[str, tuple[ComponentId, ...], tuple[str, ...], ComponentId | None]:
    """Return operator, parents, genomes to be fetched and lineage of a newborn.

    All arms draw the same parent and the same chance, so that they differ in the newborn's material
    alone: random weights and genes, the parent's genes with random weights, or a copy of the
    organism's own fittest component.
    """
    if arm == "random":
        return "random", (), (), None
    if arm == "genes":
        return "genes", (parent.component,), (parent.genome,), None
    if arm == "clone":
        own = max(
            (record for record in survivors if record.depth == depth),
            key=lambda record: (record.ablation, record.component),
        )
        return "clone", (own.component,), (), own.lineage
    if second is None or second.component == parent.component:
        return "gaussian", (parent.component,), (parent.genome,), parent.lineage
    return (
        "line",
        (parent.component, second.component),
        (parent.genome, second.genome),
        parent.lineage,
    )


def behaviour_hash(candidate: Candidate) -> str:
    """Return the hash of a candidate's behaviour, 16 hexadecimal digits."""
    return sha256(canonical(candidate.behaviour))[:16]
