"""Early stopping as a run lives it: what of its closed rounds the rule has seen, and what it says of them."""

import math
from collections.abc import Mapping
from typing import Any

from qd.canonical import number
from runs.config.schema import Config
from runs.rounds.rules import early_stopping


class Stopping:
    """Follows the metric that early stopping goes by; without such a rule it ends nothing.

    Parameters
    ----------
    config
        Of the run.
    since
        First round under this configuration: the rule does not see those before.
    """

    def __init__(self, config: Config, since: int = 1) -> None:
        self._rule = early_stopping(config)
        self._since = since
        self._course: list[float | None] = []  # one value a round, since then

    def ends(self, round: int, summary: Mapping[str, Any]) -> bool:
        """See the summary of a round, which follows the last one, and return whether the run is to end.

        Parameters
        ----------
        round
            The round.
        summary
            Its event, live or as the journal has it.
        """
        if self._rule is None or round < self._since:
            return False
        self._course.append(_finite(summary.get(self._rule.metric)))
        return self._rule.stops(self._course)

    def event(self, round: int, seen: int) -> dict[str, Any]:
        """Return what the journal says of a run that has ended early.

        Parameters
        ----------
        round
            With which it ends.
        seen
            The last one that the orders for it saw.
        """
        assert self._rule is not None, "a run without the rule has all its rounds"
        return {
            "round": round,
            "seen": seen,
            "metric": self._rule.metric,
            "patience": self._rule.patience,
            "best": max((value for value in self._course if value is not None), default=None),
        }


def _finite(value: float | str | None) -> float | None:
    """Return a number of a summary, as it is or as a journal has it; None where it is none or not finite."""
    return None if value is None or not math.isfinite(number(value)) else number(value)
