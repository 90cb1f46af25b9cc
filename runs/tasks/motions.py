"""The mathematics of what generated sequences show: waves, orbits, the Lorenz system, splines, rotations.

Shape suffixes: N examples, K waves, T times.
"""

import math
from collections.abc import Callable

import numpy as np

_ITERATIONS = 20  # of Newton's method: 5 do up to e = 0.7, 12 up to 0.999, all up to 0.999999


def waves(frequency_NK: np.ndarray, phase_NK: np.ndarray, times_T: np.ndarray) -> np.ndarray:
    """Return ``sin(2 pi (f t + p))``, [N, T, K].

    Parameters
    ----------
    frequency_NK
        Cycles per unit of time.
    phase_NK
        Cycles.
    times_T
        Times t, in its unit.
    """
    return np.sin(2 * math.pi * (times_T[:, None] * frequency_NK[:, None] + phase_NK[:, None]))


def eccentric_anomaly(mean: np.ndarray, eccentricity: np.ndarray) -> np.ndarray:
    """Solve Kepler's equation ``E - e sin E = M`` to the precision of float64, by Newton's method.

    Parameters
    ----------
    mean
        The mean anomaly M, in radians.
    eccentricity
        The e of an ellipse, in [0, 1); its shape must go with that of `mean`.

    Raises
    ------
    ValueError
        If an eccentricity is not in [0, 1).

    Source: Danby 1988, "Fundamentals of Celestial Mechanics", section 6.6, for the start
    ``M + 0.85 e sign(sin M)``.
    """
    if not ((eccentricity >= 0) & (eccentricity < 1)).all():
        raise ValueError(
            f"eccentricities must be in [0, 1); they reach from {np.min(eccentricity)} to "
            f"{np.max(eccentricity)}"
        )
    found = mean + 0.85 * eccentricity * np.sign(np.sin(mean))
    for _ in range(_ITERATIONS):
        found = found - (found - eccentricity * np.sin(found) - mean) / (1 - eccentricity * np.cos(found))
    return found


def orbit(mean: np.ndarray, eccentricity: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Place a planet on its ellipse in the plane z = 0, its sun at the origin and its perihelion on +x, [..., 3].

    ``x = a (cos E - e)``, ``y = a sqrt(1 - e^2) sin E``; the mean anomaly grows evenly with time (Kepler).

    Parameters
    ----------
    mean
        Mean anomalies in radians.
    eccentricity, axis
        e in [0, 1), and the semi-major axis a in units of length; their shapes must go with that of `mean`.
    """
    anomaly = eccentric_anomaly(mean, eccentricity)
    x = axis * (np.cos(anomaly) - eccentricity)
    y = axis * np.sqrt(1 - eccentricity**2) * np.sin(anomaly)
    return np.stack([x, y, np.zeros_like(x)], axis=-1)


def lorenz(state: np.ndarray) -> np.ndarray:
    """Return the velocity ``(10 (y - x), x (28 - z) - y, x y - 8/3 z)`` at states [..., 3].

    Source: Lorenz 1963, "Deterministic Nonperiodic Flow", equations 25 to 27 with its sigma, r and b.
    """
    x, y, z = np.moveaxis(state, -1, 0)
    return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], axis=-1)


def runge_kutta(
    field: Callable[[np.ndarray], np.ndarray], state: np.ndarray, step: float, count: int
) -> np.ndarray:
    """Integrate states over `count` steps of the classical Runge-Kutta method of order 4.

    Parameters
    ----------
    field
        Velocity at a state.
    state
        Any array that `field` takes.
    step
        Of time; the error at a given time falls as its fourth power.
    count
        Number of steps.
    """
    for _ in range(count):
        first = field(state)
        second = field(state + step / 2 * first)
        third = field(state + step / 2 * second)
        last = field(state + step * third)
        state = state + step / 6 * (first + 2 * second + 2 * third + last)
    return state


def spline(points: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the natural cubic spline that is at ``points[k]`` at the time k, [T, 3].

    Velocity and acceleration are continuous, and the acceleration is 0 at both ends.

    Parameters
    ----------
    points
        Waypoints [K, 3].
    at
        Times [T] in [0, K - 1].
    """
    from scipy.interpolate import CubicSpline  # takes a while

    return np.asarray(CubicSpline(np.arange(len(points)), points, bc_type="natural")(at))


def rotations(quaternions: np.ndarray) -> np.ndarray:
    """Return the rotation matrices [N, 3, 3] of quaternions (w, x, y, z) [N, 4] of any length but 0."""
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)).T
    rows = [
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
