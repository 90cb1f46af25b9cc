"""The objectives of a run against its journal."""

import math
from collections.abc import Callable, Mapping, Sequence

from archive_store.journal.journal import Journal
from runs.results.slo.budget import Budget, budget
from runs.results.slo.evidence import RoundEvidence, evidence_of, hours, walls_of
from runs.results.slo.settings import NAMES, SloConfig, SlosConfig, WindowConfig

Events = Callable[[Sequence[RoundEvidence]], list[float]]


def _commits(rounds: Sequence[RoundEvidence]) -> list[float]:
    return [each.commit for each in rounds if each.commit is not None]


def _orders(rounds: Sequence[RoundEvidence]) -> list[float]:
    return [order.seconds for each in rounds for order in each.orders]


def _idle(rounds: Sequence[RoundEvidence]) -> list[float]:
    return [each.idle for each in rounds if each.idle is not None]


def _lags(rounds: Sequence[RoundEvidence]) -> list[float]:
    return [float(order.lag) for each in rounds for order in each.orders]


def _memory(rounds: Sequence[RoundEvidence]) -> list[float]:
    return [each.memory for each in rounds if each.memory is not None]


EVENTS: Mapping[str, tuple[str, Events]] = {  # unit, and how the events are read from rounds
    "commit": ("s", _commits),
    "order": ("s", _orders),
    "idle": ("share", _idle),
    "lag": ("rounds", _lags),
    "lost": ("an hour", hours),
    "memory": ("MiB", _memory),
}


def budgets(journal: Journal, slos: SlosConfig) -> list[Budget]:
    """Return what came of each objective; it depends on the journal alone.

    Parameters
    ----------
    journal
        Of the run, live or finished.
    slos
        The objectives.

    Raises
    ------
    RunError
        If the journal was altered.
    """
    with journal.snapshot():
        walls = walls_of(journal)
        wanted = {name: slo for name in NAMES if (slo := getattr(slos, name)) is not None}
        firsts = {name: _first(slo.window, walls) for name, slo in wanted.items()}
        rounds = evidence_of(journal, walls, min(firsts.values(), default=1))
    return [
        _of(name, slo, [each for each in rounds if each.round >= firsts[name]])
        for name, slo in wanted.items()
    ]


def budgets_of(journal: Journal, slos: SlosConfig | None = None) -> dict[str, float]:
    """Return the share of each budget that is left, by name, as far as there were events."""
    found = budgets(journal, SlosConfig() if slos is None else slos)
    return {each.name: each.left for each in found if each.left is not None}


def _of(name: str, slo: SloConfig, rounds: Sequence[RoundEvidence]) -> Budget:
    unit, events = EVENTS[name]
    return budget(name, unit, events(rounds), slo.threshold, slo.objective, _told(slo.window))


def _first(window: WindowConfig, walls: Mapping[int, float]) -> int:
    """Return the first round of a window: of seconds it is the oldest that began in them."""
    last = max(walls, default=0)
    if window.rounds is not None:
        return max(1, last - window.rounds + 1)
    if window.seconds is None:
        return 1
    passed = 0.0
    for round in sorted(walls, reverse=True):
        passed += walls[round] if math.isfinite(walls[round]) else 0.0
        if passed > window.seconds:
            return min(last, round + 1)
    return 1


def _told(window: WindowConfig) -> str:
    if window.rounds is not None:
        return f"{window.rounds} rounds"
    return "all" if window.seconds is None else f"{window.seconds:g} s"
