"""How far the tasks `signals` and `trajectories` are from what simple forecasts reach, and what runs reached.

The forecasts: the last value again, and a linear autoregression of order 4 with a constant, fitted by least
squares to the training split; over all features, and with coefficients of their own for the first three
positions, which have fewer values before them. First the fit must be exact on a sine of one frequency. R2 and the
task's own metrics are those of the test split.

    PYTHONPATH=. python tests/benchmarks/forecasts.py [RUN ...]
"""

import sys
from pathlib import Path

import numpy as np
import torch

from organisms.nn import score
from organisms.task import Task
from runs import tasks
from runs.config.sections import TaskConfig
from runs.results.summary import summarise

ORDER = 4


def autoregression(inputs: np.ndarray, targets: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Forecasts [M, S, F] for test inputs, from fits to inputs and targets [N, S, F]."""
    length = inputs.shape[1]
    groups = [range(t, t + 1) for t in range(ORDER - 1)] + [range(ORDER - 1, length)]
    found = np.empty(test.shape)
    for ends in groups:
        lags = min(ORDER, ends[0] + 1)
        rows, wanted = windows(inputs, ends, lags), targets[:, ends].reshape(-1, targets.shape[-1])
        weights, *_ = np.linalg.lstsq(rows, wanted, rcond=None)
        found[:, ends] = (windows(test, ends, lags) @ weights).reshape(len(test), len(ends), -1)
    return found


def windows(values: np.ndarray, ends: range, lags: int) -> np.ndarray:
    """The last `lags` values up to each of these positions and a 1, a row for each example and position."""
    rows = [values[:, end - lags + 1 : end + 1].reshape(len(values), -1) for end in ends]
    stacked = np.stack(rows, axis=1).reshape(len(values) * len(ends), -1)
    return np.concatenate([stacked, np.ones((len(stacked), 1))], axis=1)


def check() -> None:
    phases = np.random.default_rng(0).uniform(size=(50, 1))
    values = np.sin(2 * np.pi * (0.13 * np.arange(21) + phases))[..., None]
    found = autoregression(values[:40, :-1], values[:40, 1:], values[40:, :-1])
    assert np.abs(found - values[40:, 1:])[:, 1:].max() < 1e-9, (
        "a sine follows from two values; nothing is reported"
    )


def show(name: str, task: Task, forecasts: dict[str, np.ndarray], runs: list[Path]) -> None:
    columns = {}
    for label, outputs in forecasts.items():
        r2 = score(task, torch.from_numpy(outputs), torch.from_numpy(task.test.targets))
        columns[label] = {"R2": r2} | dict(task.metrics(outputs, task.test))
    for run in runs:
        summary = summarise(run)
        if list(summary.test_metrics) == list(columns["last value"])[1:]:
            columns[str(run)] = {"R2": summary.best_accuracy} | summary.test_metrics
    width = max(len(row) for row in columns["last value"])
    print(f"{name:<{width}}  " + "  ".join(f"{label:>16}" for label in columns))
    for row in columns["last value"]:
        print(f"{row:<{width}}  " + "  ".join(f"{column[row]:>16.4f}" for column in columns.values()))


def main() -> None:
    check()
    for name in ("signals", "trajectories"):
        task = tasks.load(TaskConfig(name=name))
        inputs, targets, test = (
            array.astype(np.float64) for array in (task.train.inputs, task.train.targets, task.test.inputs)
        )
        forecasts = {"last value": test, f"order {ORDER}": autoregression(inputs, targets, test)}
        show(name, task, forecasts, [Path(path) for path in sys.argv[1:]])


if __name__ == "__main__":
    main()
