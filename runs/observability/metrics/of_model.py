"""From the forward passes of a model of one's own to its metrics."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from runs.observability.metrics.collector import MetricsCollector
from runs.observability.metrics.families import Family

if TYPE_CHECKING:
    from torch import Tensor

MODEL_FAMILIES: Mapping[str, Family] = {
    "plasmodia_model_passes_total": Family("counter", "Forward passes."),
    "plasmodia_model_written": Family(
        "gauge",
        "Root mean square of what a slot wrote in the last forward pass; 0: it is empty.",
        ("layer", "slot"),
    ),
}


class ModelMetrics:
    """Keeps the metrics of a model up to date: the `metrics` of `SlimeMoldEncoder`, `Organism` and `SlimeModel`.

    A pass waits for the device once a layer, as numbers are read from it.

    Parameters
    ----------
    collector
        Of `MODEL_FAMILIES`, or of more.

    Examples
    --------
    >>> from organisms.pseudopods import SlimeMoldEncoder
    >>> collector = MetricsCollector(MODEL_FAMILIES)
    >>> model = SlimeMoldEncoder(64, num_layers=2, metrics=ModelMetrics(collector))
    """

    def __init__(self, collector: MetricsCollector) -> None:
        self._collector = collector

    def __call__(self, name: str, values: "Tensor") -> None:
        """Take note of what a layer tells: ``layers.<number>.written``, and a value for each slot, [C]."""
        _, layer, _ = name.split(".")
        if layer == "0":
            self._collector.count("plasmodia_model_passes_total")
        for slot, value in enumerate(values.tolist()):
            self._collector.set("plasmodia_model_written", value, layer=layer, slot=str(slot))
