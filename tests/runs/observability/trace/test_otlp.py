"""Against a collector of some lines, which decodes what comes with the messages of OpenTelemetry's own protocol."""

import gzip
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from runs.errors import ConfigError
from runs.observability.measured import Committed, Ordered
from runs.observability.trace.otlp import OtlpSink
from runs.observability.trace.tracer import Tracer

START = 1_700_000_000_000_000_000  # nanoseconds since 1970


@pytest.fixture
def collector():
    """A server that keeps the requests it gets, and answers with a status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            server.got.append((self.path, self.headers["Content-Type"], body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(server.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def place(server):
    return f"127.0.0.1:{server.server_address[1]}"


def work(sink):
    tracer = Tracer(sink, start=100.0)
    tracer.answered(Ordered("reference", 0, -2, "trainer-0", 1, 100.0, 101.0, {}))
    tracer.answered(Ordered("advance", 1, 3, "trainer-1", 2, 102.0, 106.0, {"train": 2.0, "total": 2.0}))
    tracer.committed(Committed(1, 106.0, 107.0, 108.0))
    sink.close()


def spans(server):
    found = {}
    for path, kind, body in server.got:
        assert (path, kind) == ("/v1/traces", "application/x-protobuf")
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert (told["service.name"], told["plasmodia.run"]) == ("plasmodia", "mine")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    found.setdefault(span.name, []).append(span)
    return found


def test_spans_arrive_with_their_moments_their_parents_and_what_they_are_of(collector):
    work(OtlpSink(place(collector), "mine", START, print))
    found = spans(collector)
    counts = {name: len(each) for name, each in found.items()}
    assert counts == {"order": 2, "train": 1, "commit": 1, "store": 1, "write": 1, "round": 2}
    order = next(each for each in found["order"] if each.attributes)
    order = next(each for each in found["order"] if attributes(each)["round"] == 1)
    assert attributes(order) == {
        "job": "advance",
        "round": 1,
        "organism": 3,
        "worker": "trainer-1",
        "attempt": 2,
    }
    assert order.start_time_unix_nano == START + 2_000_000_000
    assert order.end_time_unix_nano == START + 6_000_000_000
    (train,) = found["train"]
    assert (train.start_time_unix_nano, train.parent_span_id) == (START + 3_000_000_000, order.span_id)
    root = next(each for each in found["round"] if attributes(each)["round"] == 1)
    assert (root.parent_span_id, root.start_time_unix_nano) == (b"", order.start_time_unix_nano)
    assert root.end_time_unix_nano == found["commit"][0].end_time_unix_nano == START + 8_000_000_000
    assert order.parent_span_id == found["commit"][0].parent_span_id == root.span_id
    traces = {each.trace_id for group in found.values() for each in group}
    assert len(traces) == 2  # of calibration and of round 1
    identities = [each.span_id for group in found.values() for each in group]
    assert len(set(identities)) == len(identities)


def attributes(span):
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_a_collector_that_refuses_is_told_of_once_and_stops_nobody(collector):
    collector.status = 400
    told = []
    work(OtlpSink(place(collector), "mine", START, told.append))
    assert len(told) == 1
    assert told[0].startswith(f"the collector at {place(collector)} did not take ")
    assert told[0].endswith(" spans; the run goes on")


def test_where_nobody_listens_nothing_begins():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(
        ConfigError, match=rf"no collector listens at {where} \(Connection refused\); start it"
    ):
        OtlpSink(where, "mine", START, print)


def test_without_the_extra_it_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(
        ConfigError, match=r"pip install 'plasmodia\[trace\]', or set execution.trace=trace.json"
    ):
        OtlpSink("127.0.0.1:1", "mine", START, print)
