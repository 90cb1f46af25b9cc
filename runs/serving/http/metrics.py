"""What is measured of a server, in Prometheus' text format, from a registry of its own."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from runs.serving.engine import Engine
from runs.serving.generation import Done
from runs.serving.latency import Latencies

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120)


class Metrics:
    """Counters, gauges and histograms of one server.

    Parameters
    ----------
    engine
        Whose counters are read when somebody asks.
    paths
        Paths that are counted under their names; all others together.
    """

    def __init__(self, engine: Engine, paths: frozenset[str]) -> None:
        self._paths = paths
        self._registry = CollectorRegistry(auto_describe=False)
        self.latencies = Latencies()
        self._registry.register(_OfEngine(engine))
        self._registry.register(_OfLatencies(self.latencies))
        self._answers = Counter(
            "plasmodia_http_answers",
            "Answers by path and status.",
            ["path", "status"],
            registry=self._registry,
        )
        self._waited, self._first, self._total = (
            Histogram(f"plasmodia_{name}_seconds", text, buckets=SECONDS, registry=self._registry)
            for name, text in (
                ("queue", "From arrival to the turn."),
                ("time_to_first_token", "From arrival to the first new token."),
                ("request", "From arrival to the last new token."),
            )
        )

    def answered(self, path: str, status: int) -> None:
        """Count an answer."""
        self._answers.labels(path if path in self._paths else "other", str(status)).inc()

    def done(self, done: Done) -> None:
        """Count a continuation."""
        self._waited.observe(done.waited)
        self._first.observe(done.first)
        self._total.observe(done.total)
        self.latencies.add(done.total)

    def text(self) -> bytes:
        """Return all in the text format."""
        return generate_latest(self._registry)


class _OfLatencies:
    def __init__(self, latencies: Latencies) -> None:
        self._latencies = latencies

    def collect(self) -> Iterator[Metric]:
        text = "Share of a service-level objective's error budget that is left; under 0: overspent."
        left = GaugeMetricFamily("plasmodia_slo_budget_remaining", text, labels=["slo"])
        for each in self._latencies.budgets():
            if each.left is not None:
                left.add_metric([each.name], each.left)
        yield left


class _OfEngine:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        engine, counts = self._engine, self._engine.counts
        for name, text, value in (
            ("requests", "Requests that had their turn.", counts.requests),
            ("completed", "Of them, those that were answered.", counts.completed),
            ("failed", "Of them, those that failed.", counts.failed),
            ("cancelled", "Of them, those whose client left.", counts.cancelled),
            ("timed_out", "Requests that were not answered in time.", counts.timed_out),
            ("cache_hits", "Requests that found their beginning.", counts.cache_hits),
            ("prefix_tokens_reused", "Tokens that were found.", counts.prefix_tokens_reused),
            ("cache_evictions", "Entries that made room for others.", engine.prefixes.evictions),
            ("prompt_tokens", "Tokens of prompts that were read.", counts.prompt_tokens),
            ("new_tokens", "Tokens that were added.", counts.new_tokens),
            ("steps", "Steps of the engine.", counts.steps),
        ):
            yield CounterMetricFamily(f"plasmodia_{name}", text, value)
        for name, text, value in (
            ("running", "Requests that are being answered.", len(engine.running)),
            ("waiting", "Requests that wait.", len(engine.waiting)),
            ("cache_entries", "Entries of the prefix cache.", engine.prefixes.entries),
            ("cache_tokens", "Tokens of the prefix cache.", engine.prefixes.tokens),
            ("reader_bytes", "Bytes reserved for sequences.", engine.reader.nbytes),
        ):
            yield GaugeMetricFamily(f"plasmodia_{name}", text, value)
