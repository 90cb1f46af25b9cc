"""Error budgets: how much of what may go wrong has gone wrong.

With an objective of ``s``, of ``n`` events ``(1 - s) n`` may be bad: the budget. What is left of it is

    left = 1 - bad / ((1 - s) n)

and the burn rate is ``bad / ((1 - s) n)`` over some events: at 1 the budget lasts just as long as the window.

Source: Beyer et al., "The Site Reliability Workbook", 2018, chapters 2 and 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

RECENT = 10  # the newest events whose burn rate is told beside: one of so many, and at least one


@dataclass(frozen=True, slots=True)
class Budget:
    """What came of an objective."""

    name: str
    unit: str
    threshold: float
    objective: float
    window: str  # in words
    events: int
    bad: int
    measured: (
        float | None
    )  # value that the objective's share of events does not exceed; None: there are no events
    burn: float | None  # rate over the window
    recent_burn: float | None  # rate over its newest tenth
    left: float | None  # share of the budget; under 0: overspent

    @property
    def spent(self) -> bool:
        """Whether nothing is left of the budget, and something has gone wrong."""
        return self.bad > 0 and self.left is not None and self.left <= 0


def budget(
    name: str, unit: str, values: Sequence[float], threshold: float, objective: float, window: str
) -> Budget:
    """Return what came of an objective.

    Parameters
    ----------
    name, unit
        What is measured.
    values
        Of the events in the window, oldest first; those above the threshold are bad, and what is not a number too.
    threshold
        Largest value of a good event.
    objective
        Share of the events that are to be good, in (0, 1).
    window
        From where the events are, in words.
    """
    wrong = [not value <= threshold for value in values]
    burn = _burn(wrong, objective)
    recent = _burn(wrong[-max(1, len(wrong) // RECENT) :], objective)
    left = None if burn is None else 1.0 - burn
    measured = quantile(values, objective)
    return Budget(
        name, unit, threshold, objective, window, len(wrong), sum(wrong), measured, burn, recent, left
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least this share of the values does not exceed; None of none.

    What is not a number counts as larger than any; where it would be returned, None is.
    """
    if not values:
        return None
    ordered = sorted(value if isfinite(value) else float("inf") for value in values)
    found = ordered[max(0, ceil(share * len(ordered) - 1e-9) - 1)]
    return found if isfinite(found) else None


def _burn(wrong: Sequence[bool], objective: float) -> float | None:
    return sum(wrong) / ((1.0 - objective) * len(wrong)) if wrong else None
