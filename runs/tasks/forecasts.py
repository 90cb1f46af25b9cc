"""Forecasting generated sequences: at every position the value one further is predicted, from those up to it.

An example is of one of several kinds, which its label names. Streams are named by task, split and kind and
start from seed 0, not from the run's: another seed changes the run and never the data, and a choice of kinds
takes examples away and changes none.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from organisms.task import Metrics, Split, Task
from qd.seeding import generator
from runs.tasks.options import Options, kinds_among, length_between, refuse_path
from runs.tasks.splits import capped

SIZES = {"train": 480, "probe": 80, "validation": 80, "test": 160}  # examples of each kind
LENGTH = 32  # values an example, unless asked otherwise

# From a stream, a number of examples and times [T] in steps to values [examples, T, features].
Curve = Callable[[np.random.Generator, int, np.ndarray], np.ndarray]
Error = Callable[[np.ndarray, np.ndarray], float]  # of predictions against the truth, both [N, S, features]


def forecasting(
    name: str, curves: Mapping[str, Curve], errors: Mapping[str, Error], options: Options
) -> Task:
    """Build the task of predicting x_1 .. x_S from x_0 .. x_{S-1}, float32 [N, S, F], causally.

    No sequence is scaled by its own values: that would leak values still to come.

    Parameters
    ----------
    name
        Of the task, in messages and in the names of the streams.
    curves
        What draws the sequences of each kind.
    errors
        What is reported for each kind on the test split, as ``<kind>_<error>``.
    options
        Of the task; a length is S, 32 by default.

    Raises
    ------
    ConfigError
        If an option cannot be met.
    """
    refuse_path(options)
    kinds = kinds_among(options, tuple(curves))
    length = length_between(options, LENGTH, 8, 1024, "fewer than 8 values hardly show what moves them")

    def split(name_of_split: str) -> Split:
        size, stream = SIZES[name_of_split], f"task:{name}:{name_of_split}"
        values = np.concatenate([_drawn(curves[kind], f"{stream}:{kind}", size, length) for kind in kinds])
        labels = np.repeat(np.arange(len(kinds)), size)
        return Split(values[:, :-1].copy(), values[:, 1:].copy(), labels)

    train = split("train")
    features = train.inputs.shape[-1]
    return Task(
        name=name,
        kind="sequence",
        train=capped(train, options.examples),
        probe=split("probe"),
        validation=split("validation"),
        test=split("test"),
        tokens="continuous",
        features=features,
        outputs=features,
        positions=np.arange(length, dtype=np.float64)[:, None],
        causal=True,
        labels=kinds,
        metrics=by_kind(kinds, errors),
    )


@lru_cache(maxsize=40)  # a run builds its task several times in a process; this holds the splits of two tasks
def _drawn(curve: Curve, stream: str, size: int, length: int) -> np.ndarray:
    """Draw the sequences of a kind in a split, float32 [size, length + 1, F]."""
    times = np.arange(length + 1, dtype=np.float64)
    values = curve(generator(0, 0, stream), size, times).astype(np.float32)
    values.setflags(write=False)
    return values


def by_kind(kinds: tuple[str, ...], errors: Mapping[str, Error]) -> Metrics:
    """Return the function that computes each error of the examples of each kind, in float64."""

    def metrics(outputs: np.ndarray, split: Split) -> dict[str, float]:
        assert split.labels is not None, "forecasts are labelled by kind"
        found: dict[str, float] = {}
        for label, kind in enumerate(kinds):
            own = split.labels == label
            predicted, truth = outputs[own].astype(np.float64), split.targets[own].astype(np.float64)
            found |= {f"{kind}_{name}": error(predicted, truth) for name, error in errors.items()}
        return found

    return metrics


def mean_squared(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean squared error over all numbers."""
    return float(np.square(predicted - truth).mean())


def correlation(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return Pearson's correlation over all numbers together; NaN where either does not vary."""
    if np.ptp(predicted) == 0 or np.ptp(truth) == 0:  # a rounded mean would leave something to divide by
        return math.nan
    first, second = predicted - predicted.mean(), truth - truth.mean()
    spread = math.sqrt(float(np.square(first).sum()) * float(np.square(second).sum()))
    return float((first * second).sum()) / spread if spread > 0 else math.nan


def difference(order: int) -> Error:
    """Return the function that computes the mean Euclidean norm of the error of finite differences along time.

    Of order 0 it is that of positions, of 1 that of velocities (per step), of 2 that of accelerations (per step
    squared); the differences are between predictions, so an offset that stays is no error of velocity.
    """

    def error(predicted: np.ndarray, truth: np.ndarray) -> float:
        off = np.diff(predicted - truth, order, axis=1)
        return float(np.sqrt(np.square(off).sum(-1)).mean())

    return error
