import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.lifecycle.annealing import SCHEDULES, cosine, geometric, linear, make, metropolis

POSITIVE = st.floats(1e-3, 1e3)
SHARES = st.floats(1e-3, 1.0)


@given(st.sampled_from(SCHEDULES), POSITIVE, SHARES, POSITIVE, st.lists(st.floats(0, 1e4), min_size=2))
def test_temperatures_fall_from_the_start_to_the_floor(kind, start, share, steps, moments):
    floor = start * share
    schedule = make(kind, start, floor, steps)
    temperatures = [schedule(moment) for moment in sorted(moments)]
    assert schedule(0) == pytest.approx(start)
    assert schedule(steps) == pytest.approx(floor)
    assert all(floor * (1 - 1e-12) <= value <= start * (1 + 1e-12) for value in temperatures)
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in zip(temperatures, temperatures[1:]))  # noqa: B905, RUF007


def test_closed_forms():
    steps = np.arange(0, 12)
    np.testing.assert_allclose(
        [linear(2.0, 0.1, 10)(step) for step in steps], np.interp(steps, [0, 9.5, 20], [2.0, 0.1, 0.1])
    )
    np.testing.assert_allclose([geometric(8.0, 0.5, 2)(step) for step in (0, 2, 4, 6)], [8.0, 4.0, 2.0, 1.0])
    np.testing.assert_allclose(
        [cosine(3.0, 1.0, 12)(step) for step in (0, 4, 6, 8, 12, 40)], [3.0, 2.5, 2.0, 1.5, 1.0, 1.0]
    )
    assert geometric(1.0, 0.1, 1, floor=0.05)(7) == 0.05


@given(st.floats(0, 100), st.floats(0, 100), POSITIVE)
def test_metropolis_chains_multiply(first, second, temperature):
    together = metropolis(first + second, temperature)
    assert together == pytest.approx(
        metropolis(first, temperature) * metropolis(second, temperature), abs=1e-12
    )
    assert metropolis(-first, temperature) == 1.0


def test_metropolis_values():
    assert metropolis(0.5, 1.0) == pytest.approx(0.6065306597126334)
    assert metropolis(0.5, 0.0) == 0.0
    assert metropolis(0.0, 0.0) == 1.0
    assert metropolis(math.inf, 1.0) == 0.0


@pytest.mark.parametrize("maker", [linear, cosine, lambda *numbers: make("linear", *numbers)])
@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0.0, 0.0, 10), "start must be a finite temperature above 0"),
        ((math.nan, 0.0, 10), "start must be a finite temperature above 0"),
        ((1.0, 2.0, 10), "floor must be between 0 and start = 1.0, got 2.0"),
        ((1.0, -0.1, 10), "floor must be between 0 and start"),
        ((1.0, 0.1, 0), "steps must be finite and above 0, got 0"),
        ((1.0, 0.1, math.inf), "steps must be finite and above 0"),
    ],
)
def test_bad_numbers_are_refused_when_a_schedule_is_made(maker, numbers, message):
    with pytest.raises(ValueError, match=message):
        maker(*numbers)


def test_other_refusals():
    with pytest.raises(ValueError, match=r"ratio must be in \(0, 1\]"):
        geometric(1.0, 1.5, 10)
    with pytest.raises(ValueError, match="interval must be finite and above 0"):
        geometric(1.0, 0.5, 0)
    with pytest.raises(
        ValueError, match="annealing kind must be one of linear, geometric, cosine, got 'log'"
    ):
        make("log", 1.0, 0.1, 10)
    with pytest.raises(ValueError, match="a geometric schedule never reaches floor 0"):
        make("geometric", 1.0, 0.0, 10)
    with pytest.raises(ValueError, match="delta is NaN"):
        metropolis(math.nan, 1.0)
    with pytest.raises(ValueError, match="temperature must be 0 or above"):
        metropolis(1.0, -1.0)
