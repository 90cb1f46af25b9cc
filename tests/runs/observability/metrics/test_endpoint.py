import socket
import sys
import urllib.request

import pytest

from runs.errors import ConfigError
from runs.observability.metrics.collector import MetricsCollector
from runs.observability.metrics.endpoint import HOST, endpoint
from runs.observability.metrics.text import text


def test_whoever_asks_gets_what_is_measured_now_and_nobody_afterwards():
    collector = MetricsCollector()
    with endpoint(collector, 0) as url:
        for round in (1, 2):
            collector.set("plasmodia_round", round)
            collector.observe("plasmodia_commit_seconds", 0.5)
            with urllib.request.urlopen(url) as answer:
                assert answer.read().decode() == text(collector)
                assert answer.headers["Content-Type"].startswith("text/plain; version=")
        port = int(url.split(":")[2].split("/")[0])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port))


def test_a_port_that_is_taken_is_told():
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is taken; name another one, or let"),
            endpoint(MetricsCollector(), port),
        ):
            pass


def test_without_the_extra_it_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with (
        pytest.raises(
            ConfigError, match=r"pip install 'plasmodia\[metrics\]', or set execution.metrics=file"
        ),
        endpoint(MetricsCollector(), 0),
    ):
        pass
