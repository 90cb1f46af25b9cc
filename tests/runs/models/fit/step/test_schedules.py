import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runs.models.config import RouterSchedule, SchedConfig
from runs.models.fit.step.schedules import learning_rate_factor, routing, value_at


def test_warm_up_is_linear_and_then_half_a_cosine():
    factor = learning_rate_factor(SchedConfig(total_steps=100, warmup_steps=20, min_lr_ratio=0.1))
    assert [factor(step) for step in (1, 5, 20)] == [0.05, 0.25, 1.0]
    assert factor(60) == pytest.approx(0.1 + 0.9 / 2)
    assert factor(100) == pytest.approx(0.1)


def test_the_cosine_is_torchs():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30, eta_min=0.2)
    factor = learning_rate_factor(SchedConfig(total_steps=30, warmup_steps=0, min_lr_ratio=0.2))
    for step in range(1, 31):
        optimizer.step()
        reference.step()
        assert factor(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)


@given(st.integers(1, 500), st.integers(0, 500), st.floats(0, 1))
def test_rates_rise_to_the_largest_and_never_again(total, warmup, least):
    sched = SchedConfig(total_steps=total, warmup_steps=min(warmup, total), min_lr_ratio=least)
    factors = [learning_rate_factor(sched)(step) for step in range(1, total + 1)]
    rising, falling = factors[: sched.warmup_steps], factors[sched.warmup_steps :]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert all(0 < each <= 1 + 1e-12 for each in rising)
    assert all(least - 1e-12 <= each <= 1 for each in falling)


def test_settings_of_routers_go_in_a_line_and_stay():
    schedule = RouterSchedule(start=2.0, end=1.0, steps=10)
    assert [value_at(schedule, step) for step in (0, 5, 10, 99)] == [2.0, 1.5, 1.0, 1.0]


def test_only_settings_with_a_schedule_have_values():
    sched = SchedConfig(noise_std=RouterSchedule(start=0.3, end=0.0, steps=3))
    assert routing(sched)(0) == {"noise_std": 0.3}
    assert math.isclose(routing(sched)(1)["noise_std"], 0.2)
    assert routing(SchedConfig())(4) == {}
