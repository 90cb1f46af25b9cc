"""The metrics of a run: names after Prometheus' conventions, what each means, and its labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

# Upper bounds in seconds. Orders of a small run take milliseconds, those of a large one minutes.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class Family:
    """A metric, with one series for each combination of values of its labels."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


FAMILIES: Mapping[str, Family] = {
    "plasmodia_order_seconds": Family(
        "histogram", "From sending an order to its answer, by the driver's clock.", ("job",)
    ),
    "plasmodia_order_part_seconds": Family(
        "histogram", "Parts of orders, by the clocks of those who did them.", ("job", "part")
    ),
    "plasmodia_commit_seconds": Family(
        "histogram", "From the first file of a round to its committed journal."
    ),
    "plasmodia_orders_total": Family("counter", "Orders that were answered.", ("job",)),
    "plasmodia_training_steps_total": Family("counter", "Optimizer steps of organisms that were ordered."),
    "plasmodia_rounds_total": Family("counter", "Rounds that this process has committed."),
    "plasmodia_retries_total": Family("counter", "Attempts of answered orders after the first.", ("job",)),
    "plasmodia_incidents_total": Family(
        "counter", "What went wrong: lost (with its worker), failed, duplicate.", ("kind",)
    ),
    "plasmodia_births_total": Family("counter", "Components that were born, since round 1."),
    "plasmodia_deaths_total": Family("counter", "Components that died, since round 1."),
    "plasmodia_round": Family("gauge", "The last committed round."),
    "plasmodia_rounds_planned": Family("gauge", "Rounds of the whole run."),
    "plasmodia_journal_lag_rounds": Family(
        "gauge", "Rounds from the last committed one to that of the newest answered order."
    ),
    "plasmodia_coverage_ratio": Family("gauge", "Share of the archive's cells that are filled."),
    "plasmodia_qd_score": Family("gauge", "QD score of the archive."),
    "plasmodia_archive_elites": Family("gauge", "Elites in the archive."),
    "plasmodia_components_alive": Family("gauge", "Living components in the pools of all organisms."),
    "plasmodia_organisms": Family("gauge", "Organisms of the population."),
    "plasmodia_temperature": Family("gauge", "Temperature of births and deaths."),
    "plasmodia_training_loss": Family("gauge", "Mean training loss of the last round, in the task's units."),
    "plasmodia_validation_score": Family("gauge", "Best validation score of an organism in the last round."),
    "plasmodia_orders_waiting": Family("gauge", "Orders that wait for a worker."),
    "plasmodia_workers": Family("gauge", "Workers that can be sent orders."),
    "plasmodia_workers_idle_ratio": Family(
        "gauge", "Share of the last round's time in which workers had no order, over all workers."
    ),
    "plasmodia_resident_peak_bytes": Family(
        "gauge", "Memory that a process has had resident at most.", ("worker",)
    ),
    "plasmodia_slo_budget_remaining": Family(
        "gauge",
        "Share of a service-level objective's error budget that is left; under 0: overspent.",
        ("slo",),
    ),
}
