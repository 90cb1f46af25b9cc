"""Trajectories in space to be forecast: helices, orbits, Lissajous figures, the Lorenz attractor, waypoints.

Time is counted in steps (tokens). Coordinates have one unit of length for all three axes, in which everything
lies within or about the cube [-1, 1]^3; velocities are in units a step, accelerations in units a step squared.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from organisms.task import Task
from runs.tasks.forecasts import Curve, difference, forecasting
from runs.tasks.motions import lorenz, orbit, rotations, runge_kutta, spline, waves
from runs.tasks.options import Options

TURNS = (1 / 32, 1 / 4)  # cycles a step of helices
FIGURES = (1 / 32, 1 / 12)  # cycles a step of Lissajous figures; the frequencies are 1 to 3 times as high
PERIODS = (8, 32)  # steps of an orbit
ECCENTRICITIES = (0.0, 0.7)
LEGS = (4, 8)  # steps from a waypoint to the next
REACH = 0.6  # of waypoints along each axis; the splines between them go a little further
LORENZ_STEP = 0.1  # of the system's own time, a step
LORENZ_UNIT = 30.0  # of the system's own length, a unit
_FINE = 10  # steps of the integrator to one of the sequence
_SETTLING = 100  # steps from a random start to the attractor


def build(options: Options, corpus: bytes | None = None) -> Task:
    """Build the task of forecasting trajectories of five kinds by one step, float32 [N, S, 3] (S = 32 by default).

    The mean errors of position, velocity and acceleration on the test split are reported for each kind.

    Raises
    ------
    ConfigError
        If an option cannot be met.
    """
    orders = {"position_error": 0, "velocity_error": 1, "acceleration_error": 2}
    errors = {name: difference(order) for name, order in orders.items()}
    return forecasting("trajectories", TRAJECTORIES, errors, options)


def helix(stream: np.random.Generator, size: int, times: np.ndarray) -> np.ndarray:
    """Draw helices about any axis through the origin, left- and right-handed, of radii in [0.2, 0.6].

    The point goes evenly from ``-h`` to ``h`` along the axis, h in [0.2, 0.8].

    Parameters
    ----------
    stream
        Source of the draws.
    size
        Number of examples.
    times
        Steps [T] at which they are seen, from 0.
    """
    radius, height = stream.uniform(0.2, 0.6, (size, 1, 1)), stream.uniform(0.2, 0.8, (size, 1, 1))
    frequency = stream.uniform(*TURNS, (size, 1)) * stream.choice([-1, 1], (size, 1))
    quarter = np.array([0.25, 0.0])  # cosine and sine
    circle = waves(frequency.repeat(2, axis=1), stream.uniform(size=(size, 1)) + quarter, times)
    rise = np.broadcast_to((2 * times / times[-1] - 1)[:, None], (size, len(times), 1))
    return _turned(stream, np.concatenate([radius * circle, height * rise], axis=-1))


def ellipse(stream: np.random.Generator, size: int, times: np.ndarray) -> np.ndarray:
    """Draw orbits about the origin by Kepler's laws, in any plane, with aphelia at 0.5 to 1.

    Parameters
    ----------
    stream
        Source of the draws.
    size
        Number of examples.
    times
        Steps [T] at which they are seen, from 0.
    """
    eccentricity = stream.uniform(*ECCENTRICITIES, (size, 1))
    axis = stream.uniform(0.5, 1, (size, 1)) / (1 + eccentricity)
    cycles = times / stream.uniform(*PERIODS, (size, 1)) + stream.uniform(size=(size, 1))
    return _turned(stream, orbit(2 * math.pi * cycles, eccentricity, axis))


def lissajous(stream: np.random.Generator, size: int, times: np.ndarray) -> np.ndarray:
    """Draw three sines along the axes, of frequencies 1 to 3 times a common one and amplitudes in [0.5, 1].

    Parameters
    ----------
    stream
        Source of the draws.
    size
        Number of examples.
    times
        Steps [T] at which they are seen, from 0.
    """
    frequencies = stream.uniform(*FIGURES, (size, 1)) * stream.integers(1, 3, (size, 3), endpoint=True)
    amplitudes = stream.uniform(0.5, 1, (size, 1, 3))
    return amplitudes * waves(frequencies, stream.uniform(size=(size, 3)), times)


def attractor(stream: np.random.Generator, size: int, times: np.ndarray) -> np.ndarray:
    """Draw pieces of the Lorenz attractor, ``(x, y, z - 25) / 30``, by the Runge-Kutta method of order 4.

    Parameters
    ----------
    stream
        Source of the draws.
    size
        Number of examples.
    times
        Steps [T] at which they are seen, from 0.
    """
    step = LORENZ_STEP / _FINE
    middle = np.array([0.0, 0.0, 25.0])
    state = runge_kutta(lorenz, middle + stream.uniform(-10, 10, (size, 3)), step, _SETTLING * _FINE)
    states = [state]
    for _ in times[1:]:
        states.append(runge_kutta(lorenz, states[-1], step, _FINE))
    return (np.stack(states, axis=1) - middle) / LORENZ_UNIT


def waypoints(stream: np.random.Generator, size: int, times: np.ndarray) -> np.ndarray:
    """Draw smooth ways through random points of the cube [-0.6, 0.6]^3, as an arm passes them.

    They are natural cubic splines: velocity and acceleration are continuous. All legs of a way take the same time,
    any of `LEGS`, and a sequence begins anywhere on the first.

    Parameters
    ----------
    stream
        Source of the draws.
    size
        Number of examples.
    times
        Steps [T] at which they are seen, from 0.
    """
    marks = math.ceil(times[-1] / LEGS[0]) + 2
    points = stream.uniform(-REACH, REACH, (size, marks, 3))
    passed = times / stream.uniform(*LEGS, (size, 1)) + stream.uniform(size=(size, 1))
    return np.stack([spline(way, at) for way, at in zip(points, passed, strict=True)])


def _turned(stream: np.random.Generator, points: np.ndarray) -> np.ndarray:
    """Turn each example's points [size, T, 3] by a random rotation about the origin, any as likely as any other."""
    turns = rotations(stream.standard_normal((len(points), 4)))
    return np.einsum("nij,ntj->nti", turns, points)


TRAJECTORIES: Mapping[str, Curve] = MappingProxyType(
    {
        "helix": helix,
        "ellipse": ellipse,
        "lissajous": lissajous,
        "lorenz": attractor,
        "waypoints": waypoints,
    }
)
