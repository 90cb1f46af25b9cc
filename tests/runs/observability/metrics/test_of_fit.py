from runs.observability.fitting import FitProgress
from runs.observability.metrics.collector import Histogram, MetricsCollector
from runs.observability.metrics.of_fit import FIT_FAMILIES, FitMetrics


def test_a_step_sets_what_it_knows_and_counts_itself():
    now, written = [0.0], []
    collector = MetricsCollector(FIT_FAMILIES)
    metrics = FitMetrics(collector, lambda: now[0], lambda: written.append(None))
    metrics(FitProgress("mine", message="loading"))
    assert collector.snapshot() == {}
    metrics(FitProgress("mine", 5, 20, 1.5, {"main": 0.25}, tokens_per_second=100.0))
    now[0] = 2.0
    metrics(FitProgress("mine", 6, 20, 1.25, {"main": 0.5, "router": 0.125}, validation_loss=2.0))
    found = collector.snapshot()
    memory = found.pop("plasmodia_resident_peak_bytes")
    assert memory["fit",] > 2**20
    seconds = found.pop("plasmodia_fit_step_seconds")[()]
    assert isinstance(seconds, Histogram)
    assert (seconds.sum, sum(seconds.counts)) == (2.0, 1)
    assert found == {
        "plasmodia_fit_steps_total": {(): 2.0},
        "plasmodia_fit_step": {(): 6},
        "plasmodia_fit_steps_planned": {(): 20},
        "plasmodia_fit_loss": {(): 1.25},
        "plasmodia_fit_learning_rate": {("main",): 0.5, ("router",): 0.125},
        "plasmodia_fit_tokens_per_second": {(): 0.0},
        "plasmodia_fit_validation_loss": {(): 2.0},
    }
    assert len(written) == 2
