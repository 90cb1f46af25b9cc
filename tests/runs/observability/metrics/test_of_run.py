from archive_store.journal.journal import WALL, Timing
from archive_store.journal.timed import IDLE, STORE, WRITE
from runs.observability.measured import Committed, Ordered, Standing
from runs.observability.metrics.collector import Histogram, MetricsCollector
from runs.observability.metrics.of_run import RunMetrics

STANDING = Standing(
    round=3, rounds=8, coverage=0.25, qd_score=4.5, elites=8, alive=20, organisms=4, births=3, deaths=1,
    temperature=0.1, loss=None, score=0.75, waiting=2, workers=2,
)  # fmt: skip


def ordered(round=1, attempt=1, **parts):
    return Ordered("advance", round, 0, "w0", attempt, 10.0, 12.0, parts | {"total": 1.5})


def test_orders_are_counted_and_their_parts_observed():
    collector = MetricsCollector()
    metrics = RunMetrics(collector, steps=50)
    metrics.answered(ordered(train=0.5))
    metrics.answered(ordered(round=2, attempt=3, train=0.25))
    found = collector.snapshot()
    assert found["plasmodia_orders_total"] == {("advance",): 2.0}
    assert found["plasmodia_retries_total"] == {("advance",): 2.0}
    assert found["plasmodia_training_steps_total"] == {(): 100.0}
    assert found["plasmodia_journal_lag_rounds"] == {(): 2}
    parts = found["plasmodia_order_part_seconds"]
    assert list(parts) == [("advance", "train")]
    assert isinstance(parts["advance", "train"], Histogram)
    assert parts["advance", "train"].sum == 0.75
    whole = found["plasmodia_order_seconds"]["advance",]
    assert isinstance(whole, Histogram)
    assert whole.sum == 4.0


def test_a_commit_says_how_idle_its_workers_were():
    """Two workers were idle for 1 and 3 of 8 seconds: a quarter of their time; what is late is of a round before."""
    collector = MetricsCollector()
    metrics = RunMetrics(collector, steps=50)
    timings = [
        Timing(None, WALL, 8.0, "driver"),
        Timing(None, STORE, 0.5, "driver"),
        Timing(None, IDLE, 1.0, "w0"),
        Timing(None, IDLE, 3.0, "w1"),
        Timing(None, WRITE, 0.25, "driver", 2),
        Timing(None, WALL, 100.0, "driver", 2),
    ]
    metrics.answered(ordered(round=4))
    metrics.committed(Committed(3, 20.0, 20.5, 20.75, timings, {"driver": 7}))
    found = collector.snapshot()
    assert found["plasmodia_workers_idle_ratio"] == {(): 0.25}
    assert found["plasmodia_resident_peak_bytes"] == {("driver",): 7}
    assert found["plasmodia_journal_lag_rounds"] == {(): 1}
    commit = found["plasmodia_commit_seconds"][()]
    assert isinstance(commit, Histogram)
    assert commit.sum == 0.75


def test_budgets_are_looked_at_every_half_minute_and_when_asked():
    collector, looks = MetricsCollector(), []

    def budgets():
        looks.append(None)
        return {"order": 1.0 - len(looks)}

    metrics = RunMetrics(collector, steps=50)
    metrics.with_budgets(budgets)
    for ended in (0.0, 29.0, 30.0, 31.0):
        metrics.committed(Committed(1, ended, ended, ended))
    assert len(looks) == 2
    metrics.look_at_budgets()
    assert collector.snapshot()["plasmodia_slo_budget_remaining"] == {("order",): -2.0}


def test_where_a_run_stands_is_shown_as_far_as_it_is_known():
    collector = MetricsCollector()
    written = []
    metrics = RunMetrics(collector, 50, written.append)
    metrics.stands(STANDING)
    metrics.happened("lost")
    found = collector.snapshot()
    assert "plasmodia_training_loss" not in found
    assert found["plasmodia_validation_score"] == {(): 0.75}
    assert found["plasmodia_births_total"] == {(): 3}
    assert found["plasmodia_incidents_total"] == {("lost",): 1.0}
    assert written == [False]
