"""How metrics reach others: as a file, over HTTP, or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runs.machine.clock import Clock
from runs.observability.metrics.collector import MetricsCollector
from runs.observability.metrics.endpoint import endpoint
from runs.observability.metrics.file import MetricsFile

OFF = "off"
FILE = "file"


@contextmanager
def telling(
    setting: str, collector: MetricsCollector, tell: Callable[[str], None], clock: Clock
) -> Iterator[MetricsFile | None]:
    """Tell metrics as a setting says while the context lasts; its value is the file, if it is one.

    Parameters
    ----------
    setting
        A valid value of ``execution.metrics``.
    collector
        Holds the metrics.
    tell
        Called with a sentence, such as where they are served.
    clock
        Monotonic seconds.

    Raises
    ------
    ConfigError
        If prometheus-client is not installed, or the port is taken.
    """
    if setting == OFF:
        yield None
    elif setting == FILE:
        file = MetricsFile(collector, clock, tell)
        try:
            yield file
        finally:
            file.write(at_once=True)
    else:
        port = setting.rpartition(":")[2]
        with endpoint(collector, 0 if port == "auto" else int(port)) as url:
            tell(f"metrics are at {url} while this goes on")
            yield None
