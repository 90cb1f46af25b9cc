"""Metrics in Prometheus' text format, version 0.0.4, as its exporters and its node exporter's text files have them.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import math
from collections.abc import Iterator, Sequence

from runs.observability.metrics.collector import Histogram, MetricsCollector, Value


def text(collector: MetricsCollector) -> str:
    """Return all that was measured, with a HELP and a TYPE line before each metric."""
    return "".join(f"{line}\n" for line in _lines(collector))


def _lines(collector: MetricsCollector) -> Iterator[str]:
    for name, series in collector.snapshot().items():
        family = collector.family(name)
        yield f"# HELP {name} {_escaped(family.help)}"
        yield f"# TYPE {name} {family.kind}"
        for values, value in series.items():
            yield from _samples(name, list(zip(family.labels, values, strict=True)), value)


def _samples(name: str, labels: Sequence[tuple[str, str]], value: Value) -> Iterator[str]:
    if not isinstance(value, Histogram):
        yield f"{name}{_labels(labels)} {number(value)}"
        return
    for bound, total in value.cumulative():
        yield f"{name}_bucket{_labels([*labels, ('le', number(bound))])} {number(total)}"
    yield f"{name}_count{_labels(labels)} {number(sum(value.counts))}"
    yield f"{name}_sum{_labels(labels)} {number(value.sum)}"


def _labels(labels: Sequence[tuple[str, str]]) -> str:
    inner = ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels)
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str, quotes: bool = False) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if quotes else escaped


def number(value: float) -> str:
    """Return a number as the format has it: ``+Inf``, ``-Inf``, ``NaN`` or the shortest text of its float."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
