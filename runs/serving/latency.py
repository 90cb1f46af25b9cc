"""How long a server's newest answers took, and what that leaves of its error budgets."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from runs.results.slo.budget import Budget, budget, quantile

NEWEST = 1000  # answers that count
SHARES = (0.5, 0.95, 0.99)
# Of so many of the newest answers, all but this share are to take no longer than so many seconds.
OBJECTIVES: Mapping[str, tuple[float, float]] = {"latency_p95": (0.95, 2.0), "latency_p99": (0.99, 5.0)}


class Latencies:
    """Seconds from arrival to the last new token of the newest answers."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=NEWEST)

    def add(self, seconds: float) -> None:
        """Note an answer."""
        self._seconds.append(seconds)

    def quantiles(self) -> dict[str, float | None]:
        """Return the seconds that half, 95 and 99 % of them did not exceed; None before the first."""
        seconds = list(self._seconds)
        return {f"p{100 * share:g}": quantile(seconds, share) for share in SHARES}

    def budgets(self) -> list[Budget]:
        """Return what is left of the error budgets."""
        seconds, window = list(self._seconds), f"{NEWEST} answers"
        return [
            budget(name, "s", seconds, threshold, objective, window)
            for name, (objective, threshold) in OBJECTIVES.items()
        ]

    def plain(self) -> dict[str, Any]:
        """Return both as JSON has them."""
        left = {each.name: each.left for each in self.budgets()}
        return {"latency_seconds": self.quantiles(), "slo_budget_remaining": left}
