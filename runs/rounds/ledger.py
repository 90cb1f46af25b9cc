"""The run in logical time: which orders can be decided, what they are, and the events of each closed round.

Nothing here knows of workers, files or clocks. Censuses and what emitters made may come in any order; a decision reads
the organism's own censuses, an emission nothing but what was closed, both a view of the archive that is old enough, and
rounds are closed in order. So the ledger's events are a function of configuration, calibration and what came alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qd.archive import Archive
from qd.centroids import neighbours
from qd.chemotaxis.tries import held, tried
from qd.emitters.contest import Contest
from qd.emitters.records import Emission, Emitted
from qd.fitness import Yardstick, candidate, candidates
from qd.lifecycle.decide import decide
from qd.lifecycle.quarantine import in_a_row
from qd.lifecycle.rules import phase
from qd.lifecycle.trial import born, died
from qd.records import Candidate, Census, Decision, Outcome
from qd.validity.verdict import assess
from qd.view import View
from runs.calibration.constants import Calibration, plain_verdict
from runs.config.schema import Config
from runs.rounds.emitting import Emitting
from runs.rounds.rules import rules
from runs.rounds.stopping import Stopping
from runs.rounds.summing_up import summary_of

Item = tuple[str, Any]  # kind and value of an event


@dataclass(frozen=True, slots=True)
class Closed:
    """A round that is complete: its events in order, and the genomes that it put into the archive."""

    round: int
    items: tuple[Item, ...]
    genomes: tuple[
        tuple[int, str], ...
    ]  # organism (or their number + chunk) and digest, of the round's own elites
    view: View
    temperature: float
    score: float | None  # best validation score of an organism
    loss: float | None  # mean training loss


class Ledger:
    """Decisions, views and the archive of a run, up to the last closed round.

    Parameters
    ----------
    config
        Of the run.
    calibration
        Its ranges, reference and centroids.
    since
        First round under this configuration: those before are restored, and the rule of early stopping does not see
        them.
    """

    def __init__(self, config: Config, calibration: Calibration, since: int = 1) -> None:
        self._config = config
        self._calibration = calibration
        self._rules = rules(config, calibration.largest_flops)
        self._yardstick = calibration.yardstick(config.objective)
        self._neighbours = neighbours(calibration.centroids)
        self._archive = Archive(calibration.centroids, config.archive.qd_offset)
        self._tries: dict[str, int] = {}  # by genome: candidates of births that were made of it
        self._views = {0: self._archive.view(self._tries)}
        self._decisions: dict[tuple[int, int], Decision] = {}
        # (round, organism) for whose first order there was too little memory
        self._starved: set[tuple[int, int]] = set()
        self._censuses: dict[int, list[Census]] = {number: [] for number in self.organisms}
        self._emitting = Emitting(config)
        self._stopping = Stopping(config, since)
        self.closed = 0
        self.last = config.rounds  # round with which the run ends; less when it stops early
        self.births = self.deaths = 0  # that happened in closed rounds

    @property
    def organisms(self) -> range:
        """Numbers of the population."""
        return range(self._config.organism.count)

    @property
    def centroids(self) -> np.ndarray:
        """Those of the archive's cells, [cells, p]."""
        return self._calibration.centroids

    @property
    def yardstick(self) -> Yardstick:
        """What makes objectives and behaviours of measurements."""
        return self._yardstick

    @property
    def view(self) -> View:
        """The archive at the end of the last closed round."""
        return self._views[self.closed]

    def known(self, organism: int) -> int:
        """Return the last round of which an organism's census is known."""
        return len(self._censuses[organism])

    def census(self, organism: int, round: int) -> Census:
        """Return a known census."""
        return self._censuses[organism][round - 1]

    def may_decide(self, organism: int, round: int) -> bool:
        """Return whether everything that an organism's order for a round depends on is known."""
        return round <= self.last and self.known(organism) >= round - 1 and self._seen(round) <= self.closed

    def decision(self, organism: int, round: int) -> Decision:
        """Return an organism's order for a round, which is decided on the first call."""
        key = (round, organism)
        if key not in self._decisions:
            self._decisions[key] = self._decide(organism, round, key in self._starved)
        return self._decisions[key]

    def starve(self, organism: int, round: int) -> bool:
        """Decide anew for a round for which a machine had too little memory; return whether fewer are left so."""
        order = self._decide(organism, round, starved=True)
        possible = order.starved and any(death.happens for death in order.deaths)
        if possible:
            self.expect([(round, organism)])
        return possible

    def expect(self, starved: Iterable[tuple[int, int]]) -> None:
        """Take for given for which rounds of which organisms a machine had too little memory: nothing decides that."""
        for key in starved:
            self._starved.add(key)
            self._decisions.pop(key, None)

    def accept(self, census: Census) -> None:
        """Add the next census of an organism.

        Raises
        ------
        ValueError
            If it is of no organism of the run, or of another round.
        """
        if census.organism not in self._censuses or census.round != self.known(census.organism) + 1:
            raise ValueError(
                f"a census of organism {census.organism} and round {census.round} does not follow; an organism's "
                "rounds follow one another"
            )
        self._censuses[census.organism].append(census)

    def may_emit(self, round: int) -> bool:
        """Return whether everything that the emissions of a round depend on is known."""
        return round <= self.last and self._seen(round) <= self.closed

    def emissions(self, round: int) -> tuple[Emission, ...]:
        """Return the emissions of a round, which are decided on the first call."""
        seen = self._seen(round)
        return self._emitting.decide(round, seen, self._views[seen])

    def contest(self, round: int) -> Contest:
        """Return what the children of a round have to beat."""
        return Contest.of(self._views[self._seen(round)], self._calibration.centroids, self._yardstick)

    def knows(self, round: int, chunk: int) -> bool:
        """Return whether it is known what came of an emission of a round that is not closed."""
        return self._emitting.known(round, chunk)

    def accept_emitted(self, emitted: Emitted) -> None:
        """Add what came of an emission.

        Raises
        ------
        ValueError
            If nothing like it was asked for, or it is known already.
        """
        self._emitting.accept(emitted)

    def complete(self) -> bool:
        """Return whether the next round can be closed."""
        following = self.closed + 1
        return (
            following <= self.last
            and all(self.known(o) >= following for o in self.organisms)
            and all(self.knows(following, each.chunk) for each in self.emissions(following))
        )

    def close(self, validity: bool = True) -> Closed:
        """Close the next round: its components compete, in order of organism and component, and it is summed up.

        Parameters
        ----------
        validity
            Whether the behaviour space is checked where that is due. No decision depends on it.
        """
        round = self.closed + 1
        censuses = [self.census(organism, round) for organism in self.organisms]
        decisions = [self.decision(organism, round) for organism in self.organisms]
        children = self._children(self._emitting.brought(round))
        outcomes = self._archive.commit([*self.competitors(censuses), *children])
        emitting, of_emitters = self._emitting.close(round, outcomes)
        self._advance(decisions)
        items: list[Item] = []
        for decision, census in zip(decisions, censuses, strict=True):
            items += [("decision", decision), ("census", census)]
            if census.quarantine is not None:
                items.append(("quarantine", self._quarantine(census)))
        items += emitting
        items += [("outcome", outcome) for outcome in outcomes]
        due = round % self._config.lifecycle.slow_every == 0 or round == self.last
        if validity and due:
            items.append(("validity", {"round": round, "verdict": self._verdict(censuses)}))
        births, deaths = self._count(decisions, censuses)
        summary = summary_of(decisions, censuses, self._archive, self.view)
        summary |= {"births": births, "deaths": deaths} | of_emitters
        if round == self.last < self._config.rounds:
            items.append(("early_stop", self._stopping.event(round, self._seen(round))))
        items.append(("summary", summary))
        self._follow(summary)
        won = [outcome.candidate for outcome in outcomes if outcome.status != "reject"]
        held = {elite.genome for elite in self.view.elites}
        return Closed(
            round=round,
            items=tuple(items),
            genomes=tuple((c.component.organism, c.genome) for c in won if c.genome in held),
            view=self.view,
            temperature=summary["temperature"],
            score=summary["best_validation_score"],
            loss=summary["mean_loss"],
        )

    def restore(
        self,
        decisions: Sequence[Decision],
        censuses: Sequence[Census],
        outcomes: Sequence[Outcome],
        asked: Sequence[Emission] = (),
        brought: Sequence[Emitted] = (),
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        """Restore the next round as it was journaled.

        Parameters
        ----------
        decisions, censuses
            One for each organism.
        outcomes
            Of the round's competitions, in order.
        asked, brought
            Emissions, and what came of them.
        summary
            Of the round; early stopping goes by it.

        Raises
        ------
        ValueError
            If the censuses do not follow those that are known.
        """
        for decision in decisions:
            self._decisions[(decision.round, decision.organism)] = decision
        for census in censuses:
            self.accept(census)
        self._count(decisions, censuses)
        self._archive.restore(outcomes)
        self._emitting.restore(self.closed + 1, asked, brought, outcomes)
        self._advance(decisions)
        self._follow(summary or {})

    def competitors(self, censuses: Sequence[Census]) -> list[Any]:
        """Return the candidates of a round in order."""
        maturity = self._config.objective.maturity
        return [each for census in censuses for each in candidates(census, self._yardstick, maturity)]

    def _children(self, brought: Sequence[Emitted]) -> list[Candidate]:
        """Return the candidates that emitters made, in order."""
        return [
            candidate(child, emitted.round, self._yardstick)
            for emitted in brought
            for child in emitted.contenders
        ]

    def _seen(self, round: int) -> int:
        """Return the round whose view an order for `round` reads."""
        return max(0, round - 1 - self._config.lag)

    def _decide(self, organism: int, round: int, starved: bool = False) -> Decision:
        if round == 1:
            temperature = self._rules.temperature(0)
            return Decision(organism, 1, 0, phase(self._rules, 1), temperature, 1.0, None, (), (), False)
        order = decide(
            self._rules,
            round,
            self._censuses[organism][: round - 1],
            self._views[self._seen(round)],
            self._neighbours,
            self._calibration.ranges,
            starved,
        )
        return replace(order, last=round == self.last < self._config.rounds)

    def _follow(self, summary: Mapping[str, Any]) -> None:
        """Let early stopping see a closed round: where it is the end, the run ends with the orders that see it."""
        if self._stopping.ends(self.closed, summary):
            self.last = min(self.last, self.closed + 1 + self._config.lag)

    def _count(self, decisions: Sequence[Decision], censuses: Sequence[Census]) -> tuple[int, int]:
        """Count the births and deaths of a round that came true, and add them to the totals."""
        pairs = list(zip(decisions, censuses, strict=True))
        births = sum(len(born(decision, census)) for decision, census in pairs)
        deaths = sum(len(died(decision, census)) for decision, census in pairs)
        self.births += births
        self.deaths += deaths
        return births, deaths

    def _advance(self, decisions: Sequence[Decision]) -> None:
        """Take the view of a round whose competitions are over, and whose decisions say what was tried."""
        self.closed += 1
        view = self._archive.view(tried(self._tries, decisions))
        self._views[self.closed] = view
        self._tries = held(view)
        self._views.pop(self.closed - self._config.lag - 1, None)  # no order will read it any more

    def _quarantine(self, census: Census) -> dict[str, Any]:
        return {
            "organism": census.organism,
            "round": census.round,
            "reason": census.quarantine,
            "in_a_row": in_a_row(self._censuses[census.organism][: census.round]),
        }

    def _verdict(self, censuses: Sequence[Census]) -> Any:
        rows = [record.measures for census in censuses for record in census.records]
        verdict = assess(
            np.array(rows, dtype=np.float64).reshape(-1, len(self._config.measures)),
            [census.organism for census in censuses for _ in census.records],
            self._config.measures,
            None,
            self._calibration.ranges,
            self._config.validity.gate,
            self._config.seed,
            stops=False,
        )
        return plain_verdict(verdict)
