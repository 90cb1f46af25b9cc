"""Which emitter is asked for the next chunk of children: a bandit over their past success."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """Return the emitters of the next chunks: one for each, the rest by the highest upper confidence bound (UCB1).

    ``gain per cost / largest gain per cost + exploration sqrt(log N / n)``, where n of the N latest chunks (at most 50)
    are the emitter's; those that are only asked for count as well. Where there are fewer chunks than emitters, those
    that were asked for least go first. Equal ones follow in the order that they are given in.

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

    Source: Cully, "Multi-emitter MAP-Elites", GECCO 2021. Differs from the source: success is the gain of the QD score
    by counted FLOP instead of the number of additions by child, because children cost unequally much; and nobody is
    left out, because what fills empty cells soon and what lifts elites later pay at different times.
    """
    known = [each for each in past[-WINDOW:] if each.emitter in emitters]
    rates = _rates(emitters, known)
    asked = {name: sum(each.emitter == name for each in known) for name in emitters}
    chosen = sorted(emitters, key=lambda name: asked[name])[:chunks]
    for name in chosen:
        asked[name] += 1
    for _ in range(chunks - len(chosen)):
        total = sum(asked.values())
        best = max(emitters, key=lambda name: _bound(rates[name], asked[name], total, exploration))
        asked[best] += 1
        chosen.append(best)
    return tuple(chosen)


def _rates(emitters: Sequence[str], known: Sequence[Success]) -> Mapping[str, float]:
    """Return gain per cost of each emitter, as a share of the largest."""
    rates = {}
    for name in emitters:
        own = [each for each in known if each.emitter == name]
        cost = math.fsum(each.cost for each in own)
        rates[name] = math.fsum(each.gain for each in own) / cost if cost > 0 else 0.0
    largest = max(rates.values())
    return {name: rate / largest if largest > 0 else 0.0 for name, rate in rates.items()}


def _bound(rate: float, asked: int, total: int, exploration: float) -> float:
    return rate + exploration * math.sqrt(log(total) / asked)
