"""The memory of adaptive emitters: soft thresholds of the cells, and the evolution strategies that are under way.

CMA-MAE (Fontaine & Nikolaidis, "Covariance Matrix Adaptation MAP-Annealing", GECCO 2023) ranks a solution by how far it
lies above the threshold of its cell, which rises with each solution that does by a part of the difference: so a
strategy stays where it finds much, and leaves in the end. Differs from the source: the thresholds are these emitters'
own, raised by useful children alone, and elites of other origins do not raise them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qd.emitters.records import Campaign, Emission, Emitted, Parent, Tried

GENERATIONS = 20  # after which a strategy ends, so that an order that tells of them all stays short
LOWEST = 0.0  # threshold of a cell that no child has raised


@dataclass(frozen=True, slots=True)
class Ongoing:
    """A strategy that is to be asked for its next generation."""

    parents: tuple[Parent, ...]
    campaign: Campaign


class Campaigns:
    """What is known of adaptive emitters at the end of a round.

    A round asks for the next generations of the strategies of ``lag + 1`` rounds before, which are the latest whose
    outcome it may know: each lag has as many families of strategies, which take turns.

    Parameters
    ----------
    lag
        Of the run.
    learning_rate
        Share of a child's improvement by which it raises the threshold of its cell, in [0, 1]; 1 is CMA-ME.
    """

    def __init__(self, lag: int, learning_rate: float) -> None:
        self._turns = lag + 1
        self._rate = learning_rate
        self._thresholds: dict[int, float] = {}
        self._ongoing: dict[tuple[int, int], Ongoing] = {}  # by turn, and place among the adaptive chunks

    def ongoing(self, round: int) -> Mapping[int, Ongoing]:
        """Return the strategies that a round goes on with, by their places among its adaptive chunks."""
        turn = round % self._turns
        return {place: ongoing for (of, place), ongoing in self._ongoing.items() if of == turn}

    def learn(self, round: int, asked: Sequence[Emission], brought: Sequence[Emitted]) -> None:
        """Learn what came of a round.

        A strategy ends when no child of a generation improved on a threshold, or after 20 generations.

        Parameters
        ----------
        round
            That was closed; rounds are learnt in order.
        asked, brought
            Emissions, and what came of them, in their order.
        """
        adaptive = [
            (emission, emission.campaign, emitted)
            for emission, emitted in zip(asked, brought, strict=True)
            if emission.campaign is not None
        ]
        for place, (emission, campaign, emitted) in enumerate(adaptive):
            key = (round % self._turns, place)
            improvements = tuple(self._improvement(each) for each in emitted.tried)
            told = replace(campaign, improvements=(*campaign.improvements, improvements))
            if any(each is not None and each > 0 for each in improvements) and (
                len(told.improvements) < GENERATIONS
            ):
                self._ongoing[key] = Ongoing(emission.parents, told)
            else:
                self._ongoing.pop(key, None)

    def _improvement(self, tried: Tried | None) -> float | None:
        """Return how far a child lies above the threshold of its cell, and raise that."""
        if tried is None:
            return None
        threshold = self._thresholds.get(tried.cell, LOWEST)
        improvement = tried.objective - threshold
        if improvement > 0:
            self._thresholds[tried.cell] = threshold + self._rate * improvement
        return improvement
