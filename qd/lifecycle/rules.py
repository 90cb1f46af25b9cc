"""The constants of the lifecycle, and what follows from them and the round alone."""

from dataclasses import dataclass

from qd.chemotaxis.search import RULE, Search
from qd.lifecycle.annealing import Schedule
from qd.lifecycle.timetable import Timetable


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that decisions depend on besides censuses and views; shares are of all rounds."""

    seed: int
    rounds: int
    steps_per_round: int
    enabled: bool  # False: nothing is born and nothing dies
    arm: str  # archive, random, genes, clone or none
    depth: int  # layers
    capacity: int  # slots per layer
    initial: int  # components per layer of a new organism
    temperature: Schedule  # of optimizer steps
    start_temperature: float
    warmup: float
    gentle: float
    quiet: float
    births_per_round: int
    candidates: int  # of a birth
    exploration: (
        float  # chance, at the starting temperature, that a birth takes not the best of its candidates
    )
    room: bool  # whether the weakest component may die for a birth in a full pool
    slow_every: int
    min_alive: int  # per layer
    min_age: int
    floor: float
    neighbours: int
    loss_ratio: float
    budget_bytes: float | None
    sigma: float
    line_share: float
    tau: float
    window: int
    search: Search = RULE
    efficiency: float = 0.0  # weight of what is spared in the living fitness
    memory_budget: int | None = None  # bytes of a step
    timetable: Timetable | None = None  # of births and deaths, instead of these rules


def phase(rules: Rules, round: int) -> str:
    """Return the phase of a round: ``warm-up`` or ``static`` (neither), ``gentle`` (births only) or ``full``."""
    if not rules.enabled:
        return "static"
    if _within(round, rules.warmup, rules.rounds):
        return "warm-up"
    return "gentle" if _within(round, rules.gentle, rules.rounds) else "full"


def _within(round: int, share: float, rounds: int) -> bool:
    return round <= share * rounds + 1e-9  # 0.29 * 100 is a little less than 29


def culls(rules: Rules, round: int) -> bool:
    """Whether deaths are considered before a round: at every `slow_every`-th, neither early nor at the end."""
    return round % rules.slow_every == 0 and deadly(rules, round)


def deadly(rules: Rules, round: int) -> bool:
    """Whether a component may die before a round: neither early nor at the end."""
    return phase(rules, round) == "full" and _within(round, 1 - rules.quiet, rules.rounds)
