"""From what a run tells of itself to its metrics."""

from collections.abc import Callable, Mapping

from archive_store.journal.journal import WALL
from archive_store.journal.timed import IDLE, TOTAL
from runs.observability.measured import Committed, Ordered, Standing
from runs.observability.metrics.collector import MetricsCollector

TRAINING = ("advance", "advance again")  # jobs that train an organism for a round
BUDGETS_EVERY = 30.0  # seconds between two looks at the budgets, which read the journal
Budgets = Callable[[], Mapping[str, float]]  # what is left of each objective's budget


class RunMetrics:
    """Keeps the metrics of a run up to date.

    Parameters
    ----------
    collector
        Where they are kept.
    steps
        Optimizer steps of an organism in a round.
    written
        Called when there is something new, with whether it is to be shown in any case.
    """

    def __init__(
        self, collector: MetricsCollector, steps: int, written: Callable[[bool], None] = lambda at_once: None
    ) -> None:
        self._collector = collector
        self._steps = steps
        self._written = written
        self._newest = self._committed = 0  # rounds
        self._budgets: Budgets | None = None
        self._looked: float | None = None  # when, at the budgets

    def with_budgets(self, budgets: Budgets) -> None:
        """Show from now on what `budgets` returns."""
        self._budgets = budgets

    def answered(self, order: Ordered) -> None:
        """Count an order, and observe how long it and its parts took."""
        into = self._collector
        into.count("plasmodia_orders_total", job=order.job)
        into.observe("plasmodia_order_seconds", order.answered - order.sent, job=order.job)
        for part, seconds in order.parts.items():
            if part != TOTAL:
                into.observe("plasmodia_order_part_seconds", seconds, job=order.job, part=part)
        if order.attempt > 1:
            into.count("plasmodia_retries_total", order.attempt - 1, job=order.job)
        if order.job in TRAINING:
            into.count("plasmodia_training_steps_total", self._steps)
        self._newest = max(self._newest, order.round)
        into.set("plasmodia_journal_lag_rounds", self._newest - self._committed)
        self._written(False)

    def committed(self, commit: Committed) -> None:
        """Observe how long a commit took, and how idle workers were before it."""
        into = self._collector
        self._committed = commit.round
        self._newest = max(self._newest, commit.round)
        into.count("plasmodia_rounds_total")
        into.set("plasmodia_round", commit.round)
        into.set("plasmodia_journal_lag_rounds", self._newest - self._committed)
        into.observe("plasmodia_commit_seconds", commit.ended - commit.begun)
        of_round = [each for each in commit.timings if each.round in (None, commit.round)]
        wall = sum(each.seconds for each in of_round if each.name == WALL)
        idle = [each.seconds for each in of_round if each.name == IDLE]
        if idle and wall > 0:
            into.set("plasmodia_workers_idle_ratio", min(1.0, sum(idle) / (wall * len(idle))))
        into.replace("plasmodia_resident_peak_bytes", commit.memory)
        if self._looked is None or commit.ended - self._looked >= BUDGETS_EVERY:
            self._looked = commit.ended
            self.look_at_budgets()

    def stands(self, standing: Standing) -> None:
        """Show where the run stands."""
        for name, value in {
            "plasmodia_rounds_planned": standing.rounds,
            "plasmodia_coverage_ratio": standing.coverage,
            "plasmodia_qd_score": standing.qd_score,
            "plasmodia_archive_elites": standing.elites,
            "plasmodia_components_alive": standing.alive,
            "plasmodia_organisms": standing.organisms,
            "plasmodia_births_total": standing.births,
            "plasmodia_deaths_total": standing.deaths,
            "plasmodia_temperature": standing.temperature,
            "plasmodia_training_loss": standing.loss,
            "plasmodia_validation_score": standing.score,
            "plasmodia_orders_waiting": standing.waiting,
            "plasmodia_workers": standing.workers,
        }.items():
            if value is not None:
                self._collector.set(name, value)
        self._written(False)

    def happened(self, kind: str) -> None:
        """Count an incident."""
        self._collector.count("plasmodia_incidents_total", kind=kind)

    def look_at_budgets(self) -> None:
        """Show what is left of the budgets now."""
        if self._budgets is not None:
            self._collector.replace("plasmodia_slo_budget_remaining", self._budgets())
