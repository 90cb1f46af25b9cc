import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.observability.metrics.collector import Histogram, MetricsCollector
from runs.observability.metrics.families import FAMILIES, SECONDS

seconds = st.floats(0, 1000)


@given(st.lists(seconds))
def test_a_bucket_counts_the_observations_that_are_not_above_its_bound(observed):
    collector = MetricsCollector()
    for each in observed:
        collector.observe("plasmodia_commit_seconds", each)
    if not observed:
        assert collector.snapshot() == {}
        return
    histogram = collector.snapshot()["plasmodia_commit_seconds"][()]
    assert isinstance(histogram, Histogram)
    wanted = [(bound, sum(each <= bound for each in observed)) for bound in (*SECONDS, float("inf"))]
    assert list(histogram.cumulative()) == wanted
    assert histogram.sum == pytest.approx(sum(observed))


def test_threads_lose_no_count():
    collector = MetricsCollector()

    def work():
        for _ in range(2000):
            collector.count("plasmodia_incidents_total", kind="lost")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert collector.snapshot() == {"plasmodia_incidents_total": {("lost",): 8000.0}}


def test_a_snapshot_does_not_change_any_more():
    collector = MetricsCollector()
    collector.observe("plasmodia_commit_seconds", 1.0)
    before = collector.snapshot()
    collector.observe("plasmodia_commit_seconds", 1.0)
    histogram = before["plasmodia_commit_seconds"][()]
    assert isinstance(histogram, Histogram)
    assert sum(histogram.counts) == 1


def test_a_gauge_that_is_replaced_forgets_who_is_gone():
    collector = MetricsCollector()
    collector.replace("plasmodia_resident_peak_bytes", {"trainer-0": 1.0, "driver": 3.0})
    collector.replace("plasmodia_resident_peak_bytes", {"trainer-1": 2.0, "driver": 4.0})
    series = collector.snapshot()["plasmodia_resident_peak_bytes"]
    assert series == {("driver",): 4.0, ("trainer-1",): 2.0}


def test_two_collectors_share_nothing():
    first, second = MetricsCollector(), MetricsCollector()
    first.set("plasmodia_round", 3)
    assert second.snapshot() == {}


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda it: it.count("plasmodia_rounds_total", -1), "only rises; it was to rise by -1"),
        (lambda it: it.count("plasmodia_round"), "plasmodia_round is a gauge, and no counter"),
        (lambda it: it.observe("plasmodia_round", 1), "plasmodia_round is a gauge, and no histogram"),
        (lambda it: it.set("plasmodia_commit_seconds", 1), "is a histogram, and no counter"),
        (lambda it: it.count("plasmodia_orders_total"), "has the labels job, not none"),
        (
            lambda it: it.set("plasmodia_rond", 1),
            "there is no metric plasmodia_rond; known are plasmodia_order_s",
        ),
    ],
)
def test_a_mistake_of_the_caller_is_told(act, told):
    with pytest.raises(ValueError, match=told):
        act(MetricsCollector())


def test_names_follow_the_conventions():
    """https://prometheus.io/docs/practices/naming/: counters end in _total, and units stand in names."""
    assert all(name.startswith("plasmodia_") for name in FAMILIES)
    assert {family.kind == "counter" for name, family in FAMILIES.items() if name.endswith("_total")} == {
        True
    }
    assert all(name.endswith("_total") for name, family in FAMILIES.items() if family.kind == "counter")
    assert all(name.endswith("_seconds") for name, family in FAMILIES.items() if family.kind == "histogram")
    assert all(family.help.endswith(".") for family in FAMILIES.values())
