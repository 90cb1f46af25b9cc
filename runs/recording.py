"""Who is told what a run measures of itself, as its configuration says: metrics, traces, or nobody."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from archive_store.journal.journal import Journal
from archive_store.run_directory import RunDirectory
from runs.config.schema import Config
from runs.machine.clock import Clock
from runs.machine.interruption import to_stderr
from runs.observability.measured import Recorder, Recorders
from runs.observability.metrics.collector import MetricsCollector
from runs.observability.metrics.file import MetricsFile
from runs.observability.metrics.of_run import RunMetrics
from runs.observability.metrics.telling import OFF, telling
from runs.observability.trace.chrome import ChromeFile
from runs.observability.trace.otlp import OtlpSink
from runs.observability.trace.tracer import Sink, Tracer
from runs.results.slo.remaining import budgets_of


class Recording(Recorders):
    """The recorders of a run, which learn its folder when there is one.

    Parameters
    ----------
    metrics, file, sink
        What is recorded; None: nothing of the kind.
    clock
        Monotonic seconds, the driver's.
    """

    def __init__(
        self, metrics: RunMetrics | None, file: MetricsFile | None, sink: Sink | None, clock: Clock
    ) -> None:
        self._metrics = metrics
        self._file = file
        self._sink = sink
        tracer = None if sink is None else Tracer(sink, clock())
        each: list[Recorder | None] = [metrics, tracer]
        super().__init__(one for one in each if one is not None)

    def begin(self, folder: Path, journal: Journal) -> None:
        """Write to the run's folder from now on, and show its budgets."""
        if self._metrics is not None:
            self._metrics.with_budgets(lambda: budgets_of(journal))
        if self._file is not None:
            self._file.begin(folder)
        if self._sink is not None:
            self._sink.begin(RunDirectory(folder).traces_path)

    def ended(self) -> None:
        """Show the budgets as they are in the end; the journal is still open."""
        if self._metrics is not None:
            self._metrics.look_at_budgets()


@contextmanager
def recording(
    config: Config, tell: Callable[[str], None] = to_stderr, clock: Clock = time.monotonic
) -> Iterator[Recording]:
    """Make what a configuration asks for, and end it in the end.

    Parameters
    ----------
    config
        Of the run: ``execution.metrics`` and ``execution.trace``.
    tell
        Called with a sentence, such as where metrics are served; threads call it too.
    clock
        Monotonic seconds, the driver's.

    Raises
    ------
    ConfigError
        If an extra is not installed, the port of the metrics is taken, or nobody listens for spans.
    """
    asked = config.execution
    with ExitStack() as stack:
        metrics = file = None
        if asked.metrics != OFF:
            collector = MetricsCollector()
            file = stack.enter_context(telling(asked.metrics, collector, tell, clock))
            metrics = RunMetrics(
                collector, config.training.steps_per_round, _nothing if file is None else file.write
            )
        sink = _sink(config, tell)
        if sink is not None:
            stack.callback(sink.close)
        yield Recording(metrics, file, sink, clock)


def _sink(config: Config, tell: Callable[[str], None]) -> Sink | None:
    where = config.execution.trace
    if where == OFF:
        return None
    if where.startswith("otlp://"):
        return OtlpSink(where.removeprefix("otlp://"), config.name, time.time_ns(), tell)
    return ChromeFile(where, tell)


def _nothing(at_once: bool) -> None:
    pass
