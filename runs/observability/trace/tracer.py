"""From what a run tells of itself to spans, and to where they go."""

from pathlib import Path
from typing import Protocol

from runs.observability.measured import Committed, Ordered, Standing
from runs.observability.trace.spans import Span, of_commit, of_order


class Sink(Protocol):
    """Where spans go."""

    def begin(self, folder: Path) -> None:
        """Learn the folder for traces of the run, which can be made from now on."""

    def take(self, span: Span) -> None:
        """Take a span with its parts."""

    def flush(self) -> None:
        """Pass on what was taken."""

    def close(self) -> None:
        """End."""


class Tracer:
    """Makes spans of orders and commits.

    Parameters
    ----------
    sink
        Takes them.
    start
        Moment of the driver's clock from which they count.
    """

    def __init__(self, sink: Sink, start: float) -> None:
        self._sink = sink
        self._start = start

    def answered(self, order: Ordered) -> None:
        """Pass on the span of an order."""
        self._sink.take(_since(self._start, of_order(order)))

    def committed(self, commit: Committed) -> None:
        """Pass on the span of a commit."""
        self._sink.take(_since(self._start, of_commit(commit)))
        self._sink.flush()

    def stands(self, standing: Standing) -> None:
        """Do nothing: it takes no time."""

    def happened(self, kind: str) -> None:
        """Do nothing: it takes no time."""


def _since(start: float, span: Span) -> Span:
    parts = tuple(_since(start, part) for part in span.parts)
    return Span(span.name, span.lane, span.begin - start, span.end - start, span.attributes, parts)
