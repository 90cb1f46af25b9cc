"""What a model has to be better than: an answer that nothing was learned for."""

import numpy as np
import torch

from organisms.nn import score
from organisms.task import Split, Task

LAST, MEAN, FREQUENT = "last value", "mean", "most frequent"


def baseline(task: Task, split: Split) -> tuple[str, float]:
    """Return the name and the score of such an answer to a split.

    For sequences whose next value is asked it is the last value again; for other numbers the mean of the training
    targets, for classes and symbols the most frequent one of them.

    Parameters
    ----------
    task
        With its training examples.
    split
        That is answered.
    """
    targets = torch.as_tensor(split.targets)
    if asks_next(task):
        return LAST, score(task, torch.as_tensor(split.inputs), targets)
    if task.regression:
        axes = tuple(range(task.train.targets.ndim - 1))
        mean = task.train.targets.astype(np.float64).mean(axes)
        return MEAN, score(task, torch.as_tensor(np.broadcast_to(mean, targets.shape).copy()), targets)
    counts = np.bincount(task.train.targets.ravel(), minlength=task.outputs)
    return FREQUENT, float((split.targets == counts.argmax()).mean())


def asks_next(task: Task) -> bool:
    """Return whether each target is the token that comes next."""
    inputs, targets = task.train.inputs, task.train.targets
    if task.kind != "sequence" or inputs.shape != targets.shape:
        return False
    return bool(np.array_equal(inputs[:, 1:], targets[:, :-1]))
