import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from organisms.task import Split, Task
from runs import tasks
from runs.config.sections import TaskConfig
from runs.results import forecasts as forecasting
from runs.results.forecasts import autoregression, forecasts, r2


def walk(examples, length, features=2, seed=0):
    return np.random.default_rng(seed).normal(size=(examples, length, features)).cumsum(axis=1)


def test_a_sine_follows_from_two_values():
    phases = np.random.default_rng(0).uniform(size=(50, 1))
    values = np.sin(2 * np.pi * (0.13 * np.arange(21) + phases))[..., None]
    found = autoregression(values[:40, :-1], values[:40, 1:], values[40:, :-1])
    np.testing.assert_allclose(found[:, 1:], values[40:, 2:], atol=1e-9)


@given(st.integers(1, 7))
def test_each_position_is_the_linear_regression_on_the_last_four_that_there_are(length):
    values, test = walk(40, length + 1), walk(3, length, seed=1)
    inputs, targets = values[:, :-1], values[:, 1:]
    found = autoregression(inputs, targets, test)
    for end in range(min(3, length)):
        fit = LinearRegression().fit(inputs[:, : end + 1].reshape(40, -1), targets[:, end])
        np.testing.assert_allclose(found[:, end], fit.predict(test[:, : end + 1].reshape(3, -1)), atol=1e-8)
    ends = range(3, length)
    if ends:
        rows = np.concatenate([inputs[:, end - 3 : end + 1].reshape(40, -1) for end in ends])
        fit = LinearRegression().fit(rows, np.concatenate([targets[:, end] for end in ends]))
        for end in ends:
            expected = fit.predict(test[:, end - 3 : end + 1].reshape(3, -1))
            np.testing.assert_allclose(found[:, end], expected, atol=1e-8)


def test_of_very_many_examples_the_first_are_fitted(monkeypatch):
    values, test = walk(30, 7), walk(2, 6, seed=1)
    expected = autoregression(values[:10, :-1], values[:10, 1:], test)
    monkeypatch.setattr(forecasting, "MOST_NUMBERS", 10 * 6 * 9)
    np.testing.assert_array_equal(autoregression(values[:, :-1], values[:, 1:], test), expected)


def test_r2_is_that_of_scikit_learn_over_all_outputs_together():
    targets = walk(9, 5, features=1)
    outputs = targets + walk(9, 5, features=1, seed=1)
    assert r2(outputs, targets) == pytest.approx(r2_score(targets.ravel(), outputs.ravel()), rel=1e-12)
    assert np.isnan(r2(outputs, np.ones_like(targets)))


def test_the_last_value_again_is_for_tasks_of_the_next_input_alone():
    task = tasks.load(TaskConfig(name="signals"))
    found = forecasts(task)
    assert list(found) == ["last value again", "linear"]
    np.testing.assert_array_equal(found["last value again"], task.test.inputs)
    split = Split(walk(8, 5).astype(np.float32), walk(8, 5, features=1).astype(np.float32))
    positions = np.arange(5.0)[:, None]
    other = Task("other", "sequence", split, split, split, split, "continuous", 2, 1, positions, causal=True)
    assert list(forecasts(other)) == ["linear"]
    assert forecasts(other)["linear"].shape == (8, 5, 1)
    assert forecasts(tasks.load(TaskConfig(name="digits"))) == {}
