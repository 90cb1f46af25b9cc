"""What emitters were asked for, what came of it, and what it brought to the archive, round by round."""

import math
from collections.abc import Sequence
from typing import Any

from qd.emitters.campaigns import Campaigns
from qd.emitters.plan import Plan, emissions
from qd.emitters.records import Emission, Emitted
from qd.emitters.shares import Success
from qd.records import Outcome
from qd.view import View
from runs.config.schema import Config


def plan(config: Config) -> Plan:
    """Return what emissions depend on, from a configuration."""
    settings = config.emitters
    return Plan(
        seed=config.seed,
        emitters=settings.kinds,
        children=settings.children,
        chunk=settings.chunk,
        exploration=settings.exploration if settings.shares == "bandit" else None,
    )


class Emitting:
    """The emitters' part of a ledger: emissions of the rounds to come, and the success of those that are closed.

    Parameters
    ----------
    config
        Of the run.
    """

    def __init__(self, config: Config) -> None:
        self._plan = plan(config)
        self._organisms = config.organism.count
        self._offset = config.archive.qd_offset
        self._asked: dict[int, tuple[Emission, ...]] = {}  # of rounds that are not closed
        self._brought: dict[tuple[int, int], Emitted] = {}  # by round and chunk
        self._successes: dict[int, list[Success]] = {}  # of the chunks of each closed round
        self._campaigns = Campaigns(config.lag, config.emitters.cma_learning_rate)

    def decide(self, round: int, seen: int, view: View) -> tuple[Emission, ...]:
        """Return the emissions of a round, which are decided on the first call.

        Parameters
        ----------
        round
            In which the children compete.
        seen
            The round at whose end the view was taken.
        view
            The archive then.
        """
        if round not in self._asked:
            past = [each for closed in range(1, seen + 1) for each in self._successes.get(closed, ())]
            ongoing = self._campaigns.ongoing(round)
            self._asked[round] = emissions(self._plan, round, view, past, ongoing)
        return self._asked[round]

    def accept(self, emitted: Emitted) -> None:
        """Add what came of an emission.

        Raises
        ------
        ValueError
            If nothing like it was asked for, or it is known already.
        """
        key = (emitted.round, emitted.chunk)
        if emitted.chunk >= len(self._asked.get(emitted.round, ())) or key in self._brought:
            raise ValueError(f"chunk {key[1]} of round {key[0]} was not asked for, or came before")
        self._brought[key] = emitted

    def known(self, round: int, chunk: int) -> bool:
        """Return whether it is known what came of an emission of a round that is not closed."""
        return (round, chunk) in self._brought

    def brought(self, round: int) -> list[Emitted]:
        """Return what came of the emissions of a complete round, in their order."""
        return [self._brought[round, emission.chunk] for emission in self._asked[round]]

    def close(self, round: int, outcomes: Sequence[Outcome]) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
        """Close a complete round: return its events, and its entries of the summary.

        Parameters
        ----------
        round
            The round.
        outcomes
            Of all its competitions.
        """
        brought, asked = self.brought(round), self._asked.pop(round)
        for emission in asked:
            del self._brought[round, emission.chunk]
        successes = self._remember(round, asked, brought, outcomes)
        items = [
            item
            for emission, emitted in zip(asked, brought, strict=True)
            for item in (("emission", emission), ("emitted", emitted))
        ]
        return items, {
            "children": sum(len(emission.children) for emission in asked),
            "children_scored": sum(emitted.scored for emitted in brought),
            "children_useful": sum(emitted.useful for emitted in brought),
            "emitters_gain": math.fsum(success.gain for success in successes),
            "flops_emitters": math.fsum(emitted.flops for emitted in brought),
        }

    def restore(
        self, round: int, asked: Sequence[Emission], brought: Sequence[Emitted], outcomes: Sequence[Outcome]
    ) -> None:
        """Restore a round as it was journaled.

        Parameters
        ----------
        round
            The round.
        asked, brought
            Emissions, and what came of them, in their order.
        outcomes
            Of all competitions of the round.
        """
        self._remember(round, asked, brought, outcomes)

    def _remember(
        self, round: int, asked: Sequence[Emission], brought: Sequence[Emitted], outcomes: Sequence[Outcome]
    ) -> list[Success]:
        """Note what each chunk of a round brought to the archive, and what adaptive emitters are told of it."""
        self._campaigns.learn(round, asked, brought)
        gains: dict[int, list[float]] = {}
        for outcome in outcomes:
            if outcome.status != "reject":
                before = outcome.incumbent_objective
                gain = outcome.candidate.objective - (self._offset if before is None else before)
                gains.setdefault(outcome.candidate.component.organism - self._organisms, []).append(gain)
        self._successes[round] = [
            Success(emission.emitter, emitted.flops, math.fsum(gains.get(emission.chunk, ())))
            for emission, emitted in zip(asked, brought, strict=True)
        ]
        return self._successes[round]
