"""Signals of one dimension to be forecast: sines and their sums, and circles, spirals and Lissajous figures.

Time is counted in steps (tokens), frequencies in cycles a step, phases in cycles. All values lie in [-1, 1] and
have no unit. Of the figures of the plane one coordinate is seen.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from organisms.task import Task
from runs.tasks.forecasts import Curve, correlation, forecasting, mean_squared
from runs.tasks.motions import waves
from runs.tasks.options import Options

FREQUENCIES = (1 / 32, 1 / 4)  # of sines, circles and spirals
FUNDAMENTALS = (1 / 64, 1 / 16)  # of composites, so that the fourth harmonic has a quarter at most
FIGURES = (1 / 32, 1 / 12)  # of Lissajous figures; the frequencies are 1 to 3 times as high
HARMONICS = np.arange(1, 5)
RATIOS = np.array([(1, 2), (1, 3), (2, 3)])  # of the two frequencies of a Lissajous figure


def build(options: Options, corpus: bytes | None = None) -> Task:
    """Build the task of forecasting signals of five kinds by one step, float32 [N, S, 1] (S = 32 by default).

    Mean squared error and Pearson's correlation on the test split are reported for each kind.

    Raises
    ------
    ConfigError
        If an option cannot be met.
    """
    return forecasting("signals", SIGNALS, {"mse": mean_squared, "correlation": correlation}, options)


def sine(stream: np.random.Generator, size: int, times: np.ndarray) -> np.ndarray:
    """Draw ``a sin(2 pi (f t + p))`` with a in [0.5, 1]: the next value is ``2 cos(2 pi f) x_t - x_{t-1}``.

    Parameters
    ----------
    stream
        Source of the draws.
    size
        Number of examples.
    times
        Steps [T] at which they are seen, from 0.
    """
    amplitude = stream.uniform(0.5, 1, (size, 1, 1))
    return amplitude * _tone(stream, size, times)


def composite(stream: np.random.Generator, size: int, times: np.ndarray) -> np.ndarray:
    """Draw the sum of the first one to four harmonics of a fundamental, each with a phase of its own.

    The smallest amplitude is at least a quarter of the largest; they sum to a number in [0.5, 1].

    Parameters
    ----------
    stream
        Source of the draws.
    size
        Number of examples.
    times
        Steps [T] at which they are seen, from 0.
    """
    last = stream.integers(1, len(HARMONICS), (size, 1), endpoint=True)
    shares = stream.uniform(0.25, 1, (size, len(HARMONICS))) * (last >= HARMONICS)
    amplitudes = stream.uniform(0.5, 1, (size, 1)) * shares / shares.sum(1, keepdims=True)
    frequencies = stream.uniform(*FUNDAMENTALS, (size, 1)) * HARMONICS
    tones = waves(frequencies, stream.uniform(size=frequencies.shape), times)
    return (amplitudes[:, None] * tones).sum(-1, keepdims=True)


def circle(stream: np.random.Generator, size: int, times: np.ndarray) -> np.ndarray:
    """Draw motions on circles of radii in [0.3, 0.7] about centres in [-0.3, 0.3]: sines, each about its mean.

    Parameters
    ----------
    stream
        Source of the draws.
    size
        Number of examples.
    times
        Steps [T] at which they are seen, from 0.
    """
    centre, radius = stream.uniform(-0.3, 0.3, (size, 1, 1)), stream.uniform(0.3, 0.7, (size, 1, 1))
    return centre + radius * _tone(stream, size, times)


def spiral(stream: np.random.Generator, size: int, times: np.ndarray) -> np.ndarray:
    """Draw Archimedean spirals: the radius goes evenly from one number in [0, 1] to another, in or out.

    Parameters
    ----------
    stream
        Source of the draws.
    size
        Number of examples.
    times
        Steps [T] at which they are seen, from 0.
    """
    first, last = stream.uniform(size=(2, size, 1, 1))
    radius = first + (last - first) * (times / times[-1])[:, None]
    return radius * _tone(stream, size, times)


def lissajous(stream: np.random.Generator, size: int, times: np.ndarray) -> np.ndarray:
    """Draw Lissajous figures of two frequencies as 1 : 2, 1 : 3 or 2 : 3, seen from any direction in the plane.

    ``(cos b sin 2 pi (m f t + p) + sin b sin 2 pi (n f t + q)) / sqrt(2)``

    Parameters
    ----------
    stream
        Source of the draws.
    size
        Number of examples.
    times
        Steps [T] at which they are seen, from 0.
    """
    direction = 2 * math.pi * stream.uniform(size=(size, 1))
    weights = np.concatenate([np.cos(direction), np.sin(direction)], axis=1) / math.sqrt(2)
    frequencies = stream.uniform(*FIGURES, (size, 1)) * RATIOS[stream.integers(0, len(RATIOS), size)]
    tones = waves(frequencies, stream.uniform(size=frequencies.shape), times)
    return (weights[:, None] * tones).sum(-1, keepdims=True)


def _tone(stream: np.random.Generator, size: int, times: np.ndarray) -> np.ndarray:
    """Draw waves of amplitude 1 and of any of `FREQUENCIES`, [size, T, 1]."""
    return waves(stream.uniform(*FREQUENCIES, (size, 1)), stream.uniform(size=(size, 1)), times)


SIGNALS: Mapping[str, Curve] = MappingProxyType(
    {"sine": sine, "composite": composite, "circle": circle, "spiral": spiral, "lissajous": lissajous}
)
