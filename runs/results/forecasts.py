"""What an organism's predictions are to be compared with: the last value again, and a linear forecast.

Both are computed anew from a task's splits; neither sees the targets of the test split.
"""

from collections.abc import Mapping

import numpy as np

from organisms.task import Task

ORDER = 4  # values that the linear forecast looks back on
MOST_NUMBERS = 20_000_000  # of its fit: 160 MB
LAST, LINEAR = "last value again", "linear"


def forecasts(task: Task) -> Mapping[str, np.ndarray]:
    """Return what simple forecasts answer to the test split of a task of sequences, float64 [N, S, outputs] by name.

    The last value again is one where a target is the next input; a linear forecast takes tokens of real numbers.
    """
    if task.kind != "sequence" or task.tokens != "continuous":
        return {}
    train, test = (split.inputs.astype(np.float64) for split in (task.train, task.test))
    wanted = task.train.targets.astype(np.float64)
    found = {LAST: test} if np.array_equal(wanted[:, :-1], train[:, 1:]) else {}
    return found | {LINEAR: autoregression(train, wanted, test)}


def autoregression(inputs: np.ndarray, targets: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return linear forecasts [M, S, outputs] from the last `ORDER` tokens and a constant, by least squares.

    Coefficients are those of all positions together, but for the first ones, which have fewer tokens before them. Of
    very many examples the first are fitted.

    Parameters
    ----------
    inputs
        Of training, float64 [N, S, F].
    targets
        Of training, float64 [N, S, outputs].
    test
        What to forecast from, float64 [M, S, F].
    """
    length, features = inputs.shape[1:]
    few = max(1, MOST_NUMBERS // (length * (ORDER * features + 1)))
    inputs, targets = inputs[:few], targets[:few]
    early = min(ORDER - 1, length)
    found = np.empty((*test.shape[:2], targets.shape[-1]))
    for ends in [
        *(range(t, t + 1) for t in range(early)),
        *([range(early, length)] if length > early else []),
    ]:
        lags = min(ORDER, ends[0] + 1)
        wanted = targets[:, ends].reshape(-1, targets.shape[-1])
        weights, *_ = np.linalg.lstsq(_windows(inputs, ends, lags), wanted, rcond=None)
        found[:, ends] = (_windows(test, ends, lags) @ weights).reshape(len(test), len(ends), -1)
    return found


def _windows(values: np.ndarray, ends: range, lags: int) -> np.ndarray:
    """Return the last `lags` tokens up to each of these positions and a 1, a row for each example and position."""
    rows = [values[:, end - lags + 1 : end + 1].reshape(len(values), -1) for end in ends]
    stacked = np.stack(rows, axis=1).reshape(len(values) * len(ends), -1)
    return np.concatenate([stacked, np.ones((len(stacked), 1))], axis=1)


def r2(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Return 1 - squared error / variance about each output's mean; NaN where the targets do not vary.

    Parameters
    ----------
    outputs, targets
        [N, S, outputs].
    """
    exact = targets.astype(np.float64)
    spread = np.square(exact - exact.mean(axis=(0, 1))).sum()
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.square(outputs.astype(np.float64) - exact).sum()
    return float(1 - error / spread) if spread > 0 else float("nan")
