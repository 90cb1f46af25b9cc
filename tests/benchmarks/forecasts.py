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
from runs.results.forecasts import autoregression, forecasts
from runs.results.summary import summarise


def check() -> None:
    phases = np.random.default_rng(0).uniform(size=(50, 1))
    values = np.sin(2 * np.pi * (0.13 * np.arange(21) + phases))[..., None]
    found = autoregression(values[:40, :-1], values[:40, 1:], values[40:, :-1])
    assert np.abs(found - values[40:, 1:])[:, 1:].max() < 1e-9, (
        "a sine follows from two values; nothing is reported"
    )


def show(name: str, task: Task, runs: list[Path]) -> None:
    columns = {}
    for label, outputs in forecasts(task).items():
        r2 = score(task, torch.from_numpy(outputs), torch.from_numpy(task.test.targets))
        columns[label] = {"R2": r2} | dict(task.metrics(outputs, task.test))
    for run in runs:
        summary = summarise(run)
        if list(summary.test_metrics) == list(columns["linear"])[1:]:
            columns[str(run)] = {"R2": summary.best_accuracy} | summary.test_metrics
    width = max(len(row) for row in columns["linear"])
    print(f"{name:<{width}}  " + "  ".join(f"{label:>16}" for label in columns))
    for row in columns["linear"]:
        print(f"{row:<{width}}  " + "  ".join(f"{column[row]:>16.4f}" for column in columns.values()))


def main() -> None:
    check()
    for name in ("signals", "trajectories"):
        task = tasks.load(TaskConfig(name=name))
        show(name, task, [Path(path) for path in sys.argv[1:]])


if __name__ == "__main__":
    main()
