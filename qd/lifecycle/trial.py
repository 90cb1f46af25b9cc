"""The trial of a birth: which of its candidates is born, once it is known what each would do for its organism."""

import math
from collections.abc import Sequence
from dataclasses import replace

from qd.records import Birth, Census, ComponentId, Death, Decision, Proposal

# What shadow orders put in the place of a newborn. born: the newborn itself; random: drawn anew, each array of its
# norm; genes: its structural genes with drawn weights of its norm; clone: a living component of its layer; empty:
# nothing.
MATERIALS = ("born", "random", "genes", "clone", "empty")
ROOM = "room"  # the reason of a death that happens only if something is born in its place


def choose(birth: Birth, gains: Sequence[float], only_gains: bool) -> int | None:
    """Return the number of the candidate that is born; None: none is.

    The best is taken, or, where the birth's draw says so, another one: all of the others are then equally likely. Where
    only gains count, a candidate that does not lower the loss is none.

    Parameters
    ----------
    birth
        The birth, with its draw.
    gains
        By how much each candidate lowers the loss of the organism, in nats; NaN counts as no gain at all.
    only_gains
        Whether nothing is born unless it lowers the loss.
    """
    lowest = 0.0 if only_gains else -math.inf
    helpful = [number for number, gain in enumerate(gains) if gain > lowest]
    best_first = sorted(helpful, key=lambda number: (-gains[number], number))
    if not best_first:
        return None
    others = best_first[1:]
    if others and birth.exploration_draw < birth.exploration:
        return others[min(int(birth.exploration_draw / birth.exploration * len(others)), len(others) - 1)]
    return best_first[0]


def chosen_again(decision: Decision, census: Census, only_gains: bool) -> Census:
    """Return a census with what follows from the gains of its trials derived again: choices, and newborns' ancestry.

    Parameters
    ----------
    decision, census
        As in `born`.
    only_gains
        As in `choose`.

    Raises
    ------
    ValueError
        If there is not one trial, with one gain (and strength) a candidate, for each birth that was to be tried.
    """
    births = [birth for birth in decision.births if birth.happens and birth.tried]
    if census.quarantine is not None:
        return census
    sizes = [(birth.slot, len(birth.proposals)) for birth in births]
    fitting = all(len(trial.strengths) in (0, len(trial.gains)) for trial in census.trials)
    if not fitting or sizes != [(trial.slot, len(trial.gains)) for trial in census.trials]:
        raise ValueError(
            f"organism {census.organism} was to try (slot, candidates) {sizes} before round {census.round}, and its "
            "census has other trials"
        )
    trials = tuple(
        replace(trial, chosen=choose(birth, trial.gains, only_gains))
        for birth, trial in zip(births, census.trials, strict=True)
    )
    derived = replace(census, trials=trials)
    made = {
        ComponentId(census.organism, census.round, birth.slot): proposal
        for birth, proposal in born(decision, derived)
    }
    records = tuple(
        replace(
            record,
            parents=made[record.component].parents,
            lineage=made[record.component].lineage or record.component,
        )
        if record.component in made
        else record
        for record in census.records
    )
    return replace(derived, records=records)


def born(decision: Decision, census: Census) -> list[tuple[Birth, Proposal]]:
    """Return the births of an order that came true, each with what the newborn was made of.

    Parameters
    ----------
    decision
        The order.
    census
        That of the same organism and round, with the trials; one in quarantine undid them all.
    """
    if census.quarantine is not None:
        return []
    chosen = {trial.slot: trial.chosen for trial in census.trials}
    picks = [
        (birth, chosen.get(birth.slot) if birth.tried else 0) for birth in decision.births if birth.happens
    ]
    return [(birth, birth.proposals[pick]) for birth, pick in picks if pick is not None]


def died(decision: Decision, census: Census) -> list[Death]:
    """Return the deaths of an order that came true.

    Parameters
    ----------
    decision, census
        As in `born`.
    """
    if census.quarantine is not None:
        return []
    filled = {birth.slot for birth, _ in born(decision, census)}
    return [
        death
        for death in decision.deaths
        if death.happens and (death.reason != ROOM or death.component.slot in filled)
    ]
