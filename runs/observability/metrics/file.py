"""Metrics as a file, which Prometheus' node exporter collects and a person can read."""

from collections.abc import Callable
from pathlib import Path

from archive_store import durable
from archive_store.errors import WriteError
from runs.machine.clock import Clock
from runs.observability.metrics.collector import MetricsCollector
from runs.observability.metrics.text import text

NAME = "metrics.prom"
INTERVAL = 1.0  # seconds between two writes, at least


class MetricsFile:
    """Writes metrics to a file, atomically, at most once a second.

    Parameters
    ----------
    collector
        Holds them.
    clock
        Monotonic seconds.
    tell
        Called with a sentence the first time that the file cannot be written: a run goes on all the same.
    """

    def __init__(self, collector: MetricsCollector, clock: Clock, tell: Callable[[str], None]) -> None:
        self._collector = collector
        self._clock = clock
        self._tell = tell
        self._path: Path | None = None
        self._written: float | None = None
        self._failed = False

    def begin(self, folder: Path) -> None:
        """Write to this folder from now on; before, there is none."""
        self._path = folder / NAME

    def write(self, at_once: bool = False) -> None:
        """Write what there is, unless that was done less than a second ago.

        Parameters
        ----------
        at_once
            Whether it is written in any case.
        """
        now = self._clock()
        if self._path is None or not (at_once or self._written is None or now - self._written >= INTERVAL):
            return
        self._written = now
        try:
            durable.renew(self._path, text(self._collector).encode("utf-8"))
        except WriteError as error:
            if not self._failed:
                self._tell(f"{self._path} cannot be written: {error.reason}; the run goes on")
            self._failed = True
