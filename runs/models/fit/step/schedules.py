"""Schedules over optimizer steps: the factor of all learning rates, and the routers' settings."""

import math
from collections.abc import Callable, Mapping

from runs.models.config import RouterSchedule, SchedConfig

SETTINGS = ("temperature", "noise_std", "capacity_factor")


def learning_rate_factor(sched: SchedConfig) -> Callable[[int], float]:
    """Return f(s), by which learning rates are multiplied in step s = 1 .. T: linear warm-up, then half a cosine.

    f(s) = s / W for s <= W, and r + (1 - r) (1 + cos(pi (s - W) / (T - W))) / 2 beyond, with W the steps of warm-up
    and r the ratio of the last learning rate to the largest.

    References
    ----------
    Loshchilov and Hutter 2017, SGDR.
    """
    warmup, total, least = sched.warmup_steps, sched.total_steps, sched.min_lr_ratio

    def factor(step: int) -> float:
        if step <= warmup:
            return step / warmup
        share = min((step - warmup) / (total - warmup), 1.0)
        return least + (1.0 - least) * (1.0 + math.cos(math.pi * share)) / 2.0

    return factor


def routing(sched: SchedConfig) -> Callable[[int], Mapping[str, float]]:
    """Return the routers' settings after s steps, by name: those alone that have a schedule."""
    given = {name: schedule for name in SETTINGS if (schedule := getattr(sched, name)) is not None}

    def settings(step: int) -> Mapping[str, float]:
        return {name: value_at(schedule, step) for name, schedule in given.items()}

    return settings


def value_at(schedule: RouterSchedule, step: int) -> float:
    """Return v(s) = start + (end - start) min(s / steps, 1), after s optimizer steps."""
    share = min(step / schedule.steps, 1.0)
    return schedule.start + (schedule.end - schedule.start) * share
