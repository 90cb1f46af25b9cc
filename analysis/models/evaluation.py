"""What a model of sequences predicts: errors over the horizon, spectra of signals, and paths seen from above.

A rollout is a forecast that goes on from its own predictions: after some tokens of an example the model reads what it
has predicted itself, and the horizon counts those steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import style

_COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.VERMILLION, style.PURPLE, style.SKY)
_TRUTH: dict[str, Any] = {"color": style.SKY, "linewidth": 3.0, "label": "truth"}
_MODEL: dict[str, Any] = {"color": style.INK, "linewidth": 1.0, "label": "model"}
LOW, HIGH = 10, 90  # percentiles of a band


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """Test examples of one kind, and how the model goes on after their first tokens.

    Parameters
    ----------
    name
        Of the kind.
    context
        What the model was given first, [N, C, F].
    truth, predicted
        What came then, and what the model said, [N, H, F].
    """

    name: str
    context: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """Euclidean distance of prediction and truth, float64 [N, H]."""
        return np.linalg.norm(self.predicted.astype(np.float64) - self.truth, axis=-1)

    @property
    def held_errors(self) -> np.ndarray:
        """The same of a forecast that repeats the last value of the context, float64 [N, H]."""
        return np.linalg.norm(self.context[:, -1:].astype(np.float64) - self.truth, axis=-1)


def horizon(rollout: Rollout, axes: Axes) -> Axes:
    """Draw the median error over the horizon with a band from percentile 10 to 90, and that of the last value again.

    Parameters
    ----------
    rollout
        Of one kind of examples.
    axes
        Where to draw.
    """
    steps = np.arange(1, rollout.truth.shape[1] + 1)
    low, median, high = percentiles(rollout.errors, (LOW, 50, HIGH))
    axes.plot(steps, median, color=style.BLUE, label="model, median")
    band = f"percentiles {LOW} to {HIGH}"
    axes.fill_between(steps, low, high, color=style.BLUE, alpha=0.2, linewidth=0, label=band)
    (held,) = percentiles(rollout.held_errors, (50,))
    axes.plot(steps, held, color=style.ORANGE, linestyle="--", label="last value again, median")
    axes.set_ylim(bottom=0.0)
    axes.set_title(style.plain(rollout.name), fontweight="normal")
    axes.set_ylabel("error")
    return style.round_axis(axes, pd.Series(steps), "horizon [steps]")


def percentiles(errors: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Return percentiles over examples [N, H], [shares, H]; what is not finite is the largest error, drawn as a gap.

    Parameters
    ----------
    errors
        Of N examples at each step.
    shares
        In percent; each is the error of an example.
    """
    largest_last = np.where(np.isfinite(errors), errors, np.inf)
    found = np.percentile(largest_last, shares, axis=0, method="nearest")
    return np.where(np.isfinite(found), found, np.nan)


def spectrum(truth: np.ndarray, predicted: np.ndarray, axes: Axes, name: str) -> Axes:
    """Draw the mean amplitude at each frequency of signals and of predictions, on a log scale.

    Each is less its mean and times a Hann window; a frequency is in cycles per token, up to one half.

    Parameters
    ----------
    truth, predicted
        Signals, [N, S] of at least 4 tokens.
    axes
        Where to draw.
    name
        Of the kind of signals.
    """
    frequencies = np.fft.rfftfreq(truth.shape[1])
    for values, look in ((truth, _TRUTH), (predicted, _MODEL)):
        axes.plot(frequencies[1:], amplitudes(values)[1:], **look)
    style.logarithmic(axes)
    axes.set_xlim(0.0, 0.5)
    axes.set_title(style.plain(name), fontweight="normal")
    axes.set_xlabel("frequency [cycles / token]")
    axes.set_ylabel("amplitude")
    return axes


def amplitudes(signals: np.ndarray) -> np.ndarray:
    """Return the mean over signals [N, S] of the amplitude at each frequency k / S, float64 [S // 2 + 1].

    A sine of amplitude a with a whole number of periods has a at its frequency, and half of it at the two beside.
    """
    values = np.asarray(signals, dtype=np.float64)
    window = np.hanning(values.shape[1] + 1)[:-1]  # periodic: the mean of the window is one half
    spectra = np.fft.rfft((values - values.mean(1, keepdims=True)) * window, axis=1)
    return np.abs(spectra).mean(0) * 2 / window.sum()


def from_above(rollout: Rollout, example: int, axes: Axes) -> Axes:
    """Draw the first two coordinates of an example: what was given, what came, and what the model said.

    Parameters
    ----------
    rollout
        Of two coordinates or more.
    example
        Which one.
    axes
        Where to draw.
    """
    given, truth, said = (
        each[example][:, :2] for each in (rollout.context, rollout.truth, rollout.predicted)
    )
    said = np.where(np.isfinite(said), said, np.nan)
    axes.plot(*given.T, color=style.GREY, linewidth=1.2, label="given")
    axes.plot(*np.concatenate([given[-1:], truth]).T, **_TRUTH)
    axes.plot(*np.concatenate([given[-1:], said]).T, marker="o", markersize=1.8, **_MODEL)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title(style.plain(rollout.name), fontweight="normal")
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    return axes


def over_steps(rollouts: Sequence[Rollout], axes: Axes) -> Axes:
    """Draw the median position error of every kind over the horizon, on a log scale.

    Parameters
    ----------
    rollouts
        One of each kind, of one horizon.
    axes
        Where to draw.
    """
    steps = np.arange(1, rollouts[0].truth.shape[1] + 1)
    for rollout, colour in zip(rollouts, _COLOURS, strict=False):
        (median,) = percentiles(rollout.errors, (50,))
        axes.plot(steps, median, color=colour, label=style.plain(rollout.name))
    style.logarithmic(axes)
    axes.set_ylabel("position error, median")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return style.round_axis(axes, pd.Series(steps), "horizon [steps]")
