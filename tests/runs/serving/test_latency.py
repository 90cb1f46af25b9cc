import pytest

from runs.serving.latency import NEWEST, Latencies


def filled(*seconds):
    latencies = Latencies()
    for each in seconds:
        latencies.add(each)
    return latencies


def test_quantiles_by_hand():
    found = filled(*(each / 100 for each in range(1, 101)))
    assert found.quantiles() == {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def test_budgets_by_hand():
    """Of 100 answers five may take over 2 s and one over 5 s; here three do, and none."""
    left = filled(*[0.1] * 97, *[3.0] * 3).plain()["slo_budget_remaining"]
    assert left == pytest.approx({"latency_p95": 0.4, "latency_p99": 1.0})


def test_the_newest_count():
    found = filled(*[9.0] * 10, *[0.1] * NEWEST)
    assert found.quantiles() == {"p50": 0.1, "p95": 0.1, "p99": 0.1}


def test_before_the_first_nothing_is_known():
    assert filled().plain() == {
        "latency_seconds": {"p50": None, "p95": None, "p99": None},
        "slo_budget_remaining": {"latency_p95": None, "latency_p99": None},
    }
