"""Which emitter is asked for the next chunk of children: a bandit over what they brought for their cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qd.elementary import log

WINDOW = 50  # chunks, the latest ones, whose success counts


@dataclass(frozen=True, slots=True)
class Success:
    """What a chunk brought to the archive."""

    emitter: str
    cost: float  # counted FLOPs
    gain: float  # of the QD score


def shares(
    emitters: Sequence[str], past: Sequence[Success], chunks: int, exploration: float
) -> tuple[str, ...]:
    """Return the emitters of the next chunks, each by the highest upper confidence bound of gain for its cost.

    Of the N latest chunks (at most 50) n are the emitter's; those that are only asked for count as well::

        (mean gain / largest mean gain + exploration sqrt(log N / n)) / (mean cost / smallest mean cost)

    What is not known well is found out where that is cheap. Whoever was not asked for within these chunks goes first.
    Equal ones follow in the order that they are given in.

    Parameters
    ----------
    emitters
        Names, at least one.
    past
        Chunks whose outcome is known, oldest first.
    chunks
        How many are to be asked for.
    exploration
        Weight of what is not known well, 0 or above.

    Source: Cully, "Multi-emitter MAP-Elites", GECCO 2021, with the index of fractional KUBE: Tran-Thanh et al.,
    "Knapsack based optimal policies for budget-limited multi-armed bandits", AAAI 2012. Differs from the sources:
    success is the gain of the QD score instead of the number of additions, its cost is in counted FLOPs, since children
    cost unequally much, and what was long ago does not count, since emitters that fill cells and those that lift elites
    pay at different times.
    """
    known = [each for each in past[-WINDOW:] if each.emitter in emitters]
    asked = {name: sum(each.emitter == name for each in known) for name in emitters}
    gains, costs = _means(emitters, known, "gain"), _means(emitters, known, "cost")
    largest, smallest = max(gains.values(), default=0.0), min(costs.values(), default=0.0)
    rates = {name: gains.get(name, 0.0) / largest if largest > 0 else 0.0 for name in emitters}
    prices = {name: costs.get(name, smallest) / smallest if smallest > 0 else 1.0 for name in emitters}
    chosen = [name for name in emitters if not asked[name]][:chunks]
    for name in chosen:
        asked[name] += 1
    for _ in range(chunks - len(chosen)):
        total = sum(asked.values())
        best = max(
            emitters,
            key=lambda name: _bound(rates[name], asked[name], total, exploration) / prices[name],
        )
        asked[best] += 1
        chosen.append(best)
    return tuple(chosen)


def _means(
    emitters: Sequence[str], known: Sequence[Success], of: Literal["gain", "cost"]
) -> Mapping[str, float]:
    """Return the mean over the chunks of each emitter that has any."""
    own = {name: [getattr(each, of) for each in known if each.emitter == name] for name in emitters}
    return {name: math.fsum(values) / len(values) for name, values in own.items() if values}


def _bound(rate: float, asked: int, total: int, exploration: float) -> float:
    return rate + exploration * math.sqrt(log(total) / asked)
