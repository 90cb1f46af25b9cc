import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from runs.observability.metrics.collector import MetricsCollector
from runs.observability.metrics.endpoint import _Collected
from runs.observability.metrics.text import number, text

labels = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), max_size=8)


def filled(kinds, numbers):
    collector = MetricsCollector()
    for kind in kinds:
        collector.count("plasmodia_incidents_total", kind=kind)
        collector.observe("plasmodia_order_seconds", 0.02, job=kind)
    for each in numbers:
        collector.set("plasmodia_qd_score", each)
        collector.observe("plasmodia_commit_seconds", abs(each))
    return collector


def samples(written):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(written)
        for sample in family.samples
    }


@given(st.lists(labels, max_size=4), st.lists(st.floats(-3e5, 3e5), max_size=3))
def test_prometheus_client_writes_the_same_of_it(kinds, numbers):
    collector = filled(kinds, numbers)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(collector))
    assert text(collector) == generate_latest(registry).decode()


@given(st.lists(labels, unique=True, max_size=4), st.floats(-1e6, 1e6))
def test_its_parser_reads_back_what_was_measured(kinds, value):
    found = samples(text(filled(kinds, [value])))
    assert found["plasmodia_qd_score", ()] == value
    for kind in kinds:
        assert found["plasmodia_incidents_total", (("kind", kind),)] == 1
        assert found["plasmodia_order_seconds_bucket", (("job", kind), ("le", "0.025"))] == 1
        assert found["plasmodia_order_seconds_bucket", (("job", kind), ("le", "0.01"))] == 0


def test_every_metric_has_its_help_and_its_type_before_it():
    lines = text(filled(["lost"], [2.0])).splitlines()
    assert lines[0].startswith("# HELP plasmodia_order_seconds ")
    assert lines[1] == "# TYPE plasmodia_order_seconds histogram"
    assert "# TYPE plasmodia_incidents_total counter" in lines


def test_numbers_that_are_none_have_names():
    assert [number(each) for each in (math.inf, -math.inf, math.nan, 3)] == ["+Inf", "-Inf", "NaN", "3.0"]
