import numpy as np
import pytest

from runs import tasks
from runs.models.fit.baseline import baseline
from tests.fixtures.small_trainings import small


def task_of(name):
    return tasks.load(small(data__name=name, data__kinds=None, data__length=None).data)


def test_the_last_value_is_what_a_sequence_is_compared_with():
    task = task_of("signals")
    name, score = baseline(task, task.validation)
    inputs, targets = (each.astype(float) for each in (task.validation.inputs, task.validation.targets))
    assert name == "last value"
    spread = np.square(targets - targets.mean((0, 1))).sum()
    assert score == pytest.approx(1 - np.square(inputs - targets).sum() / spread)


def test_the_most_frequent_class_is_what_classes_are_compared_with():
    task = task_of("digits")
    name, score = baseline(task, task.validation)
    assert name == "most frequent"
    assert score == pytest.approx(0.1)  # the validation split has equally many of each digit


def test_the_mean_is_what_a_value_is_compared_with():
    task = task_of("sine")
    name, score = baseline(task, task.validation)
    assert (name, score <= 0) == ("mean", True)
    assert baseline(task, task.train)[1] == pytest.approx(0, abs=1e-9)
