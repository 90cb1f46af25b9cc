"""From the progress of a training to its metrics."""

from collections.abc import Callable, Mapping

from runs.machine.clock import Clock
from runs.machine.memory import peak_memory
from runs.observability.fitting import FitProgress
from runs.observability.metrics.collector import MetricsCollector
from runs.observability.metrics.families import FAMILIES, Family

FIT_FAMILIES: Mapping[str, Family] = {
    "plasmodia_fit_step_seconds": Family(
        "histogram", "From the end of an optimizer step to that of the next."
    ),
    "plasmodia_fit_steps_total": Family("counter", "Optimizer steps of this process."),
    "plasmodia_fit_step": Family("gauge", "The last optimizer step."),
    "plasmodia_fit_steps_planned": Family("gauge", "Optimizer steps in all."),
    "plasmodia_fit_loss": Family("gauge", "Training loss of the last step."),
    "plasmodia_fit_learning_rate": Family("gauge", "Learning rate of the last step.", ("group",)),
    "plasmodia_fit_tokens_per_second": Family("gauge", "Tokens that training reads in a second."),
    "plasmodia_fit_validation_loss": Family("gauge", "Loss of the last evaluation."),
    "plasmodia_fit_validation_score": Family("gauge", "Score of the last evaluation."),
    "plasmodia_resident_peak_bytes": FAMILIES["plasmodia_resident_peak_bytes"],
}
MEMORY_EVERY = 1.0  # seconds between two looks at the memory


class FitMetrics:
    """Keeps the metrics of a training up to date.

    Parameters
    ----------
    collector
        Of `FIT_FAMILIES`.
    clock
        Monotonic seconds.
    written
        Called when there is something new.
    """

    def __init__(
        self, collector: MetricsCollector, clock: Clock, written: Callable[[], None] = lambda: None
    ) -> None:
        self._collector = collector
        self._clock = clock
        self._written = written
        self._last: float | None = None  # when the last step ended
        self._looked: float | None = None  # when, at the memory

    def __call__(self, progress: FitProgress) -> None:
        """Take note of a step."""
        if not progress.step:
            return
        into, now = self._collector, self._clock()
        if self._last is not None:
            into.observe("plasmodia_fit_step_seconds", now - self._last)
        self._last = now
        into.count("plasmodia_fit_steps_total")
        for name, value in {
            "step": progress.step,
            "steps_planned": progress.steps,
            "loss": progress.loss,
            "tokens_per_second": progress.tokens_per_second,
            "validation_loss": progress.validation_loss,
            "validation_score": progress.validation_score,
        }.items():
            if value is not None:
                into.set(f"plasmodia_fit_{name}", value)
        into.replace("plasmodia_fit_learning_rate", progress.rates or {})
        if self._looked is None or now - self._looked >= MEMORY_EVERY:
            self._looked = now
            into.replace("plasmodia_resident_peak_bytes", {"fit": peak_memory()})
        self._written()
