"""Births, deaths and freezes: pure decisions about one organism before one round.

`decide` reads the organism's own censuses and a view of the archive, nothing else. What it returns is a
record; trainers act on it, and replay derives it again.

Both work towards one goal, the loss of the organism: a birth is proposed by what its parents are worth in the hosts and
happens if a trial shows that it lowers that loss (`trial`); those die whose removal would raise it least, against their
nearest neighbours in behaviour space. The archive alone goes by what a component does in the hosts.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice

import numpy as np
from jaxtyping import Float64, Int64

from qd.canonical import canonical, sha256
from qd.chemotaxis.apart import apart
from qd.chemotaxis.hunger import hunger as hunger_of
from qd.chemotaxis.search import Seeker
from qd.chemotaxis.search import chances as chances_of
from qd.chemotaxis.sources import metabolic_rate
from qd.fitness import living
from qd.lifecycle import quarantine
from qd.lifecycle.annealing import metropolis
from qd.lifecycle.comonad import RelativeFitness, around
from qd.lifecycle.rules import Rules, culls, deadly, phase
from qd.lifecycle.timetable import YOKED
from qd.lifecycle.trial import ROOM
from qd.measures import Ranges
from qd.records import Birth, Candidate, Census, Death, Decision, Proposal, Record
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
    starved: bool = False,
) -> Decision:
    """Decide what happens to one organism before one round.

    Where there is a timetable, as many are born and die as its turn says, whatever chance says. Where its last round
    took more memory than `Rules.memory_budget`, or there is too little for this one, the weakest die whatever the phase
    or the timetable, and nothing is born.

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
    starved
        Whether the round was tried before, and ended for want of memory.
    """
    census = censuses[-1]
    temperature = rules.temperature(census.step)
    losses = [past.validation_loss for past in censuses if past.quarantine is None]
    hunger = hunger_of(losses, rules.window)
    reseed = quarantine.in_a_row(censuses) == quarantine.RESEED_AFTER
    frozen = None if reseed else loss_gate(census, rules.loss_ratio)
    now = phase(rules, round)
    deaths: tuple[Death, ...] = ()
    births: tuple[Birth, ...] = ()
    if reseed:
        births = quarantine.reseed(rules, round, census.organism, temperature, hunger, view, neighbours)
    elif rules.enabled and census.records and (starved or _over_memory(rules, census)):
        deaths = _deaths(rules, round, census, temperature, ranges, short=True)
    elif frozen is None and rules.timetable is not None:
        turn = rules.timetable.get((round, census.organism))
        if turn is not None:
            deaths = _deaths_on_time(rules, round, census, turn.deaths, ranges)
            gone = {death.component for death in deaths}
            survivors = [record for record in census.records if record.component not in gone]
            as_many = replace(rules, births_per_round=turn.births)
            proposed = _births(
                as_many, round, census, survivors, temperature, hunger, view, neighbours, ranges
            )
            births = tuple(replace(birth, probability=1.0, happens=True) for birth in proposed)
    elif frozen is None:
        if culls(rules, round):
            deaths = _deaths(rules, round, census, temperature, ranges)
        if now in ("gentle", "full") and rules.arm != "none":
            gone = {death.component for death in deaths if death.happens}
            survivors = [record for record in census.records if record.component not in gone]
            for_room = None if culls(rules, round) else _for_room(rules, round, survivors, ranges)
            if for_room is not None:
                survivors = [record for record in survivors if record.component != for_room.component]
            births = _births(rules, round, census, survivors, temperature, hunger, view, neighbours, ranges)
            if for_room is not None and any(birth.happens for birth in births):
                deaths = (for_room,)
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
        starved=starved,
    )


def _deaths(
    rules: Rules, round: int, census: Census, temperature: float, ranges: Ranges, short: bool = False
) -> tuple[Death, ...]:
    """Return the deaths of a cull; where memory is short, of the weakest alone."""
    records = census.records
    fitness, z = _living_fitness(rules, records, ranges)
    median = float(np.median(fitness))
    weakest_first = sorted(range(len(records)), key=lambda i: (fitness[i], records[i].component))
    excess = "memory" if short else "budget" if _over_budget(rules, records) else None
    allowed = _Allowance(rules, records, len(weakest_first) if excess else max(1, len(records) // 8))
    deaths = []
    for place, index in enumerate(weakest_first):
        record = records[index]
        name = f"cull:{record.component}"
        draw = uniform(rules.seed, round, name)
        if excess and place < math.ceil(BUDGET_CULL * len(records)):
            probability, reason = 1.0, excess
        elif short:
            break
        elif fitness[index] < median and record.age >= rules.min_age and z[index] < rules.floor:
            probability, reason = 1 - metropolis(rules.floor - float(z[index]), temperature), "fitness"
        else:
            continue
        dies = happens(probability, draw) and allowed.take(record, reason)
        deaths.append(Death(record.component, float(z[index]), rules.floor, probability, draw, reason, dies))
    return tuple(deaths)


def _deaths_on_time(
    rules: Rules, round: int, census: Census, count: int, ranges: Ranges
) -> tuple[Death, ...]:
    """Return the deaths of so many components, the weakest first, but of none that a layer cannot spare."""
    records = census.records
    fitness, z = _living_fitness(rules, records, ranges)
    allowed = _Allowance(rules, records, count)
    deaths = []
    for index in sorted(range(len(records)), key=lambda i: (fitness[i], records[i].component)):
        record = records[index]
        if allowed.take(record, YOKED):
            draw = uniform(rules.seed, round, f"cull:{record.component}")
            deaths.append(Death(record.component, float(z[index]), rules.floor, 1.0, draw, YOKED, True))
    return tuple(deaths)


def _living_fitness(
    rules: Rules, records: Sequence[Record], ranges: Ranges
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Return each component's living fitness, and its z-score among the nearest in behaviour space."""
    ablations, flops = [record.ablation for record in records], [record.flops for record in records]
    fitness = living(ablations, flops, rules.search.largest_flops, rules.efficiency)
    behaviours, _ = ranges.behaviours([record.measures for record in records])
    if not records:
        return fitness, fitness
    among = around(fitness.tolist(), 0, behaviours)
    z = among.extend(RelativeFitness(float, rules.neighbours))
    return fitness, np.array(list(z.items), dtype=np.float64)


def _over_memory(rules: Rules, census: Census) -> bool:
    return rules.memory_budget is not None and (census.memory or 0) > rules.memory_budget


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


def _for_room(rules: Rules, round: int, records: Sequence[Record], ranges: Ranges) -> Death | None:
    """Return the death of the weakest component that leaves room in a full pool; the trial of the birth confirms it."""
    full = _free_slot(rules, {record.component.slot for record in records}) is None
    if not (full and rules.room and deadly(rules, round)):
        return None
    alive = [sum(record.depth == depth for record in records) for depth in range(rules.depth)]
    old = [r for r in records if r.age >= rules.min_age and alive[r.depth] > rules.min_alive]
    if not old:
        return None
    fitness, z = _living_fitness(rules, records, ranges)
    weakest = min(old, key=lambda r: (fitness[records.index(r)], r.ablation, r.component))
    draw = uniform(rules.seed, round, f"cull:{weakest.component}")
    return Death(weakest.component, float(z[records.index(weakest)]), rules.floor, 1.0, draw, ROOM, True)


def _births(
    rules: Rules,
    round: int,
    census: Census,
    survivors: Sequence[Record],
    temperature: float,
    hunger: float,
    view: View,
    neighbours: Int64[np.ndarray, "cells k"],
    ranges: Ranges,
) -> tuple[Birth, ...]:
    taken = {record.component.slot for record in survivors}
    rate = metabolic_rate([record.flops for record in survivors], rules.search.largest_flops)
    births: list[Birth] = []
    for _ in range(rules.births_per_round):
        slot = _free_slot(rules, taken)
        if slot is None:
            break
        taken.add(slot)
        mates = [record for record in survivors if record.depth == slot // rules.capacity]
        own, _ = ranges.behaviours([record.measures for record in mates]) if mates else (None, None)
        seeker = Seeker(slot // rules.capacity, hunger, own, rate)
        chances = chances_of(rules.search, rules.tau, view, neighbours, seeker)
        birth = _birth(rules, round, census.organism, slot, mates, temperature, view, neighbours, chances)
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
    mates: Sequence[Record],
    temperature: float,
    view: View,
    neighbours: Int64[np.ndarray, "cells k"],
    chances: Float64[np.ndarray, " n"],
) -> Birth | None:
    stream = generator(rules.seed, round, f"parent:{organism}:{slot}")
    elites = apart(view, neighbours, chances, stream, rules.candidates)
    median = view.median_objective
    if not elites or median is None:
        return None
    objective = math.fsum(elite.objective for elite in elites) / len(elites)
    context = f"birth:{organism}:{slot}:{behaviour_hash(elites)}"
    draw = uniform(rules.seed, round, context)
    probability = metropolis(median - objective, temperature)
    first, *others = _proposals(rules, elites, mates, view, chances, stream)
    cooled = temperature / rules.start_temperature
    return Birth(
        slot=slot,
        arm=rules.arm,
        operator=first.operator,
        parents=first.parents,
        genomes=first.genomes,
        lineage=first.lineage,
        objective=objective,
        threshold=median,
        sigma=rules.sigma * cooled,
        probability=probability,
        draw=draw,
        context=context,
        happens=happens(probability, draw),
        others=tuple(others),
        tried=True,
        exploration=rules.exploration * cooled,
        exploration_draw=uniform(rules.seed, round, f"other:{context}"),
    )


def _proposals(
    rules: Rules,
    elites: Sequence[Candidate],
    mates: Sequence[Record],
    view: View,
    chances: Float64[np.ndarray, " n"],
    stream: np.random.Generator,
) -> list[Proposal]:
    """Return what each candidate is made of: operator, parents, genomes to be fetched and lineage.

    All arms draw the same elites and the same chance, so that they differ in the newborn's material alone: random
    weights and genes, an elite's genes with random weights, or copies of the organism's own components of the layer,
    the fittest first, again and again until there are as many.
    """
    if rules.arm == "random":
        return [Proposal("random", (), (), None) for _ in elites]
    if rules.arm == "genes":
        return [Proposal("genes", (elite.component,), (elite.genome,), None) for elite in elites]
    if rules.arm == "clone":
        ranked = sorted(mates, key=lambda record: (record.ablation, record.component), reverse=True)
        copied = islice(cycle(ranked), len(elites))
        return [Proposal("clone", (own.component,), (), own.lineage) for own in copied]
    proposals = []
    for elite in elites:
        parents = [elite]
        if stream.random() < rules.line_share:
            parents += view.sample(chances, stream, 1)
        if len({parent.component for parent in parents}) == 1:
            parents = [elite]
        proposals.append(
            Proposal(
                operator="line" if len(parents) == 2 else "gaussian",
                parents=tuple(parent.component for parent in parents),
                genomes=tuple(parent.genome for parent in parents),
                lineage=elite.lineage,
            )
        )
    return proposals


def behaviour_hash(candidates: Sequence[Candidate]) -> str:
    """Return the hash of the behaviours of candidates, 16 hexadecimal digits."""
    return sha256(canonical([candidate.behaviour for candidate in candidates]))[:16]
