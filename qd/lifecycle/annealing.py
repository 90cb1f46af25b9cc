"""Temperature schedules of simulated annealing, and the Metropolis acceptance probability.

A schedule is a function of the steps done so far. Its arguments are checked when it is made, so that a
run cannot meet a bad one in the middle.
"""

import math
from collections.abc import Callable

from qd.elementary import cos_pi, exp, power

Schedule = Callable[[float], float]

SCHEDULES = ("linear", "geometric", "cosine")


def linear(start: float, floor: float, steps: float) -> Schedule:
    """Linear schedule: falls in a straight line towards 0 and stops at the floor.

    ``T(s) = max(floor, start * (1 - s / steps))``

    Parameters
    ----------
    start
        Temperature at step 0, in units of the objective; above 0.
    floor
        Lowest temperature, in [0, start].
    steps
        Where the line meets 0, in the caller's steps; above 0.

    Raises
    ------
    ValueError
        If a number is outside its range or not finite.

    Source: Slime Mold Transformer blueprint, "Simulated Annealing for Component Lifecycle".
    Differs from the source: the floor, without which the last step would divide by zero.
    """
    _check(start, floor, steps)
    return lambda step: max(floor, start * (1 - step / steps))


def geometric(start: float, ratio: float, interval: float, floor: float = 0.0) -> Schedule:
    """Geometric schedule: falls by the same factor in every interval and stops at the floor.

    ``T(s) = max(floor, start * ratio ** (s / interval))``

    Parameters
    ----------
    start
        Temperature at step 0, in units of the objective; above 0.
    ratio
        Factor per interval, in (0, 1].
    interval
        Length of an interval, in the caller's steps; above 0.
    floor
        Lowest temperature, in [0, start].

    Raises
    ------
    ValueError
        If a number is outside its range or not finite.

    Source: Kirkpatrick, Gelatt & Vecchi 1983, "Optimization by simulated annealing".
    """
    _check(start, floor, interval, "interval")
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio must be in (0, 1] for a temperature that never rises, got {ratio}")
    return lambda step: max(floor, start * power(ratio, step / interval))


def cosine(start: float, floor: float, steps: float) -> Schedule:
    """Cosine schedule: falls along half a cosine from the start to the floor, and stays there.

    ``T(s) = floor + (start - floor) * (1 + cos(pi * min(s / steps, 1))) / 2``

    Parameters
    ----------
    start
        Temperature at step 0, in units of the objective; above 0.
    floor
        Lowest temperature, in [0, start].
    steps
        When the floor is reached, in the caller's steps; above 0.

    Raises
    ------
    ValueError
        If a number is outside its range or not finite.

    Source: Loshchilov & Hutter 2017, "SGDR", equation 5, without restarts.
    """
    _check(start, floor, steps)
    return lambda step: floor + (start - floor) * (1 + cos_pi(min(step / steps, 1.0))) / 2


def make(kind: str, start: float, floor: float, steps: float) -> Schedule:
    """Return the schedule of this kind that starts at `start` and has reached `floor` by `steps`.

    Parameters
    ----------
    kind
        ``linear``, ``geometric`` or ``cosine``.
    start, floor
        Highest and lowest temperature, in units of the objective.
    steps
        When the floor is reached at the latest, in the caller's steps.

    Raises
    ------
    ValueError
        If the kind is unknown, a number is outside its range, or a geometric floor is 0.
    """
    if kind not in SCHEDULES:
        raise ValueError(f"annealing kind must be one of {', '.join(SCHEDULES)}, got {kind!r}")
    _check(start, floor, steps)
    if kind == "geometric":
        if floor == 0:
            raise ValueError("a geometric schedule never reaches floor 0; give a floor above 0 or use linear")
        return geometric(start, floor / start, steps, floor)
    return linear(start, floor, steps) if kind == "linear" else cosine(start, floor, steps)


def metropolis(delta: float, temperature: float) -> float:
    """Return the probability that a step which is worse by `delta` is accepted.

    ``p = 1 if delta <= 0 else exp(-delta / temperature)``, and 0 for a worse step at temperature 0.

    Parameters
    ----------
    delta
        How much worse the step is (objective lost); 0 or below for one that is no worse.
    temperature
        In the units of `delta`; 0 or above.

    Raises
    ------
    ValueError
        If `delta` is NaN, or the temperature is negative or NaN.

    Source: Metropolis et al. 1953, "Equation of state calculations by fast computing machines".
    """
    if math.isnan(delta):
        raise ValueError(
            "delta is NaN, so it cannot be compared; give the difference of two finite objectives"
        )
    if not temperature >= 0:
        raise ValueError(f"temperature must be 0 or above, got {temperature}; give the schedule a floor")
    if delta <= 0:
        return 1.0
    return exp(-delta / temperature) if temperature > 0 else 0.0


def _check(start: float, floor: float, steps: float, name: str = "steps") -> None:
    if not 0 < start < math.inf:
        raise ValueError(f"start must be a finite temperature above 0, got {start}")
    if not 0 <= floor <= start:
        raise ValueError(f"floor must be between 0 and start = {start}, got {floor}")
    if not 0 < steps < math.inf:
        raise ValueError(f"{name} must be finite and above 0, got {steps}")
