"""Metrics for whoever asks over HTTP: Prometheus, or a person, on this machine alone."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runs.errors import ConfigError
from runs.observability.metrics.collector import Histogram, MetricsCollector
from runs.observability.metrics.text import number

if TYPE_CHECKING:
    from prometheus_client.core import Metric

HOST = "127.0.0.1"


@contextmanager
def endpoint(collector: MetricsCollector, port: int) -> Iterator[str]:
    """Serve ``/metrics`` while the context lasts; its value is the URL.

    Parameters
    ----------
    collector
        Holds the metrics.
    port
        On which to listen; 0: any that is free.

    Raises
    ------
    ConfigError
        If prometheus-client is not installed, or the port is taken or may not be used.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError:
        raise ConfigError(
            "execution.metrics: prometheus:// needs prometheus-client; install it by pip install "
            "'plasmodia[metrics]', or set execution.metrics=file"
        ) from None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(collector))
    try:
        server, thread = start_http_server(port, HOST, registry)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        reason = "is taken" if error.errno == errno.EADDRINUSE else "may not be used by this user"
        raise ConfigError(
            f"execution.metrics: port {port} of {HOST} {reason}; name another one, or let "
            f"prometheus://{HOST}:auto find one"
        ) from None
    try:
        yield f"http://{HOST}:{server.server_address[1]}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Collected:
    """The metrics as prometheus-client's registry wants them."""

    def __init__(self, collector: MetricsCollector) -> None:
        self._collector = collector

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for name, series in self._collector.snapshot().items():
            family = self._collector.family(name)
            if family.kind == "histogram":
                of_histogram = HistogramMetricFamily(name, family.help, labels=family.labels)
                for labels, value in series.items():
                    if isinstance(value, Histogram):
                        buckets = [(number(bound), total) for bound, total in value.cumulative()]
                        of_histogram.add_metric(labels, buckets, value.sum)
                yield of_histogram
                continue
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            of_numbers = kind(name, family.help, labels=family.labels)
            for labels, value in series.items():
                if not isinstance(value, Histogram):
                    of_numbers.add_metric(labels, value)
            yield of_numbers
