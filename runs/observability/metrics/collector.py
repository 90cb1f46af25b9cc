"""The collector of metrics: it is handed to whoever measures, and belongs to one run."""

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from runs.observability.metrics.families import FAMILIES, SECONDS, Family, Kind

Labels = tuple[str, ...]  # values, in the order of the family's labels


@dataclass(slots=True)
class Histogram:
    """Observations by the bucket that they fall into, and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    sum: float = 0.0

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Yield each upper bound, the last of which is infinite, and how many observations are not above it."""
        total = 0
        for bound, count in zip((*SECONDS, float("inf")), self.counts, strict=True):
            total += count
            yield bound, total


Value = float | Histogram
Series = Mapping[Labels, Value]


class MetricsCollector:
    """Counters, gauges and histograms of `FAMILIES`; several threads may write and read.

    Parameters
    ----------
    families
        The metrics that there are; another name is a mistake of the caller.
    """

    def __init__(self, families: Mapping[str, Family] = FAMILIES) -> None:
        self._families = families
        self._lock = threading.Lock()
        self._series: dict[str, dict[Labels, Value]] = {}

    def count(self, name: str, by: float = 1.0, **labels: str) -> None:
        """Add to a counter.

        Parameters
        ----------
        name
            Of the family.
        by
            How much, not under 0.
        labels
            Values of its labels.

        Raises
        ------
        ValueError
            If the family is no counter or has other labels, or what is to be added is under 0.
        """
        if by < 0:
            raise ValueError(f"the counter {name} only rises; it was to rise by {by:g}")
        key = self._key(name, "counter", labels)
        with self._lock:
            series = self._series.setdefault(name, {})
            old = series.get(key, 0.0)
            series[key] = by if isinstance(old, Histogram) else old + by

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge, or a counter that is kept elsewhere, to a value.

        Parameters
        ----------
        name
            Of the family.
        value
            The new one.
        labels
            Values of its labels.

        Raises
        ------
        ValueError
            If the family is a histogram, or has other labels.
        """
        key = self._key(name, "gauge" if self._kind(name) == "gauge" else "counter", labels)
        with self._lock:
            self._series.setdefault(name, {})[key] = value

    def replace(self, name: str, values: Mapping[str, float]) -> None:
        """Set a gauge of one label for these values of it, and forget it for all others."""
        keyed = {
            self._key(name, "gauge", {self._families[name].labels[0]: key}): v for key, v in values.items()
        }
        with self._lock:
            self._series[name] = dict(keyed)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Add an observation to a histogram.

        Parameters
        ----------
        name
            Of the family.
        seconds
            What was observed.
        labels
            Values of its labels.

        Raises
        ------
        ValueError
            If the family is no histogram, or has other labels.
        """
        key = self._key(name, "histogram", labels)
        with self._lock:
            histogram = self._series.setdefault(name, {}).setdefault(key, Histogram())
            if isinstance(histogram, Histogram):
                histogram.counts[bisect_left(SECONDS, seconds)] += 1
                histogram.sum += seconds

    def snapshot(self) -> dict[str, Series]:
        """Return all series of the families that have any, in the order of the families, labels ascending."""
        with self._lock:
            return {
                name: {key: _copied(self._series[name][key]) for key in sorted(self._series[name])}
                for name in self._families
                if self._series.get(name)
            }

    def family(self, name: str) -> Family:
        """Return what a metric is."""
        return self._families[name]

    def _kind(self, name: str) -> Kind:
        if name not in self._families:
            raise ValueError(f"there is no metric {name}; known are {', '.join(self._families)}")
        return self._families[name].kind

    def _key(self, name: str, kind: Kind, labels: Mapping[str, str]) -> Labels:
        found = self._kind(name)
        if found != kind:
            raise ValueError(f"{name} is a {found}, and no {kind}")
        wanted = self._families[name].labels
        if set(labels) != set(wanted):
            raise ValueError(
                f"{name} has the labels {', '.join(wanted) or 'none'}, not {', '.join(labels) or 'none'}"
            )
        return tuple(labels[label] for label in wanted)


def _copied(value: Value) -> Value:
    return Histogram(list(value.counts), value.sum) if isinstance(value, Histogram) else value
