"""What a model tells of each forward pass: a function that it is handed, and never anything global."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

Metrics = Callable[[str, Tensor], None]  # of a name and values without a gradient


def metrics_of(given: Metrics | None) -> Metrics | None:
    """Return what is to be told of a model.

    Raises
    ------
    ValueError
        If it is no function.
    """
    if given is not None and not callable(given):
        raise ValueError(
            f"metrics must be a function of a name and a tensor, but is a {type(given).__name__}"
        )
    return given


def of_layer(metrics: Metrics | None, number: int) -> Metrics | None:
    """Return what a layer tells its own values: they are called ``layers.<number>.<name>``."""
    return None if metrics is None else partial(_record, metrics, number)


def _record(metrics: Metrics, number: int, name: str, values: Tensor) -> None:
    metrics(f"layers.{number}.{name}", values)
