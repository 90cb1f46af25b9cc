"""Spans for a collector of OpenTelemetry, by OTLP over HTTP.

Each round is a trace: its root is the span `round`, from its first order to its commit, and orders and commits are its
children. A collector that does not take spans loses them; the run goes on.
"""

import hashlib
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archive_store.journal.timed import DRIVER
from runs.errors import ConfigError
from runs.observability.trace.spans import Span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

PATIENCE = 5.0  # seconds for a collector to answer
_LOGS = "opentelemetry"


class OtlpSink:
    """Sends spans from a thread of the SDK's own.

    Parameters
    ----------
    place
        Of the collector: HOST:PORT.
    run
        Name of the run.
    start
        Time of day at which spans begin to count, in nanoseconds since 1970.
    tell
        Called with a sentence if spans are lost.

    Raises
    ------
    ConfigError
        If the extra is not installed, or nobody listens there.
    """

    def __init__(self, place: str, run: str, start: int, tell: Callable[[str], None]) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        except ImportError:
            raise ConfigError(
                "execution.trace: otlp:// needs opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http; install "
                "them by pip install 'plasmodia[trace]', or set execution.trace=trace.json"
            ) from None
        _check_listens(place)
        self._start = start
        self._resource = Resource({"service.name": "plasmodia", "plasmodia.run": run})
        self._scope = InstrumentationScope("plasmodia")
        self._rounds: dict[int, tuple[float, float]] = {}  # from when to when there was something of each
        self._count = 0

        class Exporter(OTLPSpanExporter):
            """Tells, once, that spans were not taken."""

            told = False
            lost = False  # what was sent last

            def export(self, spans: Any) -> SpanExportResult:
                result = super().export(spans)
                self.lost = result is not SpanExportResult.SUCCESS
                if self.lost and not self.told:
                    self.told = True
                    tell(f"the collector at {place} did not take {len(spans)} spans; the run goes on")
                return result

        logging.getLogger(_LOGS).setLevel(logging.CRITICAL)  # it is told, in one sentence
        self._exporter = Exporter(endpoint=f"http://{place}/v1/traces", timeout=PATIENCE)
        self._processor = BatchSpanProcessor(self._exporter, max_queue_size=2**16, schedule_delay_millis=1000)

    def begin(self, folder: Path) -> None:
        """Do nothing: there is no file."""

    def take(self, span: Span) -> None:
        """Send a span with its parts; a commit ends its round, whose span is sent then."""
        round = int(dict(span.attributes)["round"])
        root = self._context(round, "round")
        begin, end = self._rounds.get(round, (span.begin, span.end))
        self._rounds[round] = (min(begin, span.begin), max(end, span.end))
        self._send(span, root)
        if span.name == "commit":
            self._end(round)

    def flush(self) -> None:
        """Do nothing: the SDK's thread sends every second."""

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        for round in list(self._rounds):
            self._end(round)
        if self._exporter.lost:  # it would be tried for every batch that is left
            self._exporter.shutdown()
        self._processor.shutdown()

    def _end(self, round: int) -> None:
        begin, end = self._rounds.pop(round)
        whole = Span("round", DRIVER, begin, end, (("round", round),))
        self._processor.on_end(self._readable(whole, self._context(round, "round"), None))

    def _send(self, span: Span, parent: "SpanContext") -> None:
        self._count += 1
        context = self._context(int(dict(span.attributes)["round"]), f"span {self._count}")
        self._processor.on_end(self._readable(span, context, parent))
        for part in span.parts:
            self._send(part, context)

    def _readable(self, span: Span, context: "SpanContext", parent: "SpanContext | None") -> "ReadableSpan":
        from opentelemetry.sdk.trace import ReadableSpan

        return ReadableSpan(
            span.name,
            context,
            parent,
            self._resource,
            dict(span.attributes),
            start_time=self._start + round(1e9 * span.begin),
            end_time=self._start + round(1e9 * span.end),
            instrumentation_scope=self._scope,
        )

    def _context(self, round: int, what: str) -> "SpanContext":
        """Return the identity of a span, which is hashed and not drawn: nothing here touches a generator."""
        from opentelemetry.trace import SpanContext, TraceFlags

        trace = hashlib.sha256(f"{self._start}:{round}".encode()).digest()[:16]
        span = hashlib.sha256(f"{self._start}:{round}:{what}".encode()).digest()[:8]
        return SpanContext(
            int.from_bytes(trace, "big"), int.from_bytes(span, "big"), False, TraceFlags(TraceFlags.SAMPLED)
        )


def _check_listens(place: str) -> None:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"execution.trace: no collector listens at {place} ({reason}); start it, name another one, or set "
            "execution.trace=trace.json"
        ) from None
