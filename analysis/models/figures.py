"""Figures of what a model predicts, of one panel for each kind of examples."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import predictions as drawn
from analysis import style
from analysis.models import evaluation
from analysis.models.evaluation import Rollout
from analysis.predictions import COLUMNS, Kind
from analysis.rendering import titled


def predictions(kinds: Sequence[Kind], title: str, figure: Figure) -> None:
    """Fill a figure with predictions of the next token for a few examples of every kind, and the truth.

    Parameters
    ----------
    kinds
        Examples by kind.
    title
        Whose predictions they are.
    figure
        An empty one.
    """
    drawn.fill(kinds, figure)
    titled(figure, f"{title}: predictions of the next token for test examples")


def horizon(rollouts: Sequence[Rollout], title: str, figure: Figure) -> None:
    """Fill a figure with the error of rollouts over the horizon, a panel for each kind.

    Parameters
    ----------
    rollouts
        One of each kind.
    title
        Whose they are.
    figure
        An empty one.
    """
    panels = _panels(figure, len(rollouts))
    for rollout, axes in zip(rollouts, panels, strict=False):
        evaluation.horizon(rollout, axes)
    _legend(figure, panels[0])
    given = rollouts[0].context.shape[1]
    titled(figure, f"{title}: error of rollouts after {given} tokens, test examples")


def spectra(signals: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str, figure: Figure) -> None:
    """Fill a figure with the spectra of signals and of predictions, a panel for each kind.

    Parameters
    ----------
    signals
        Truth and predictions, [N, S] each, by the name of their kind.
    title
        Whose predictions they are.
    figure
        An empty one.
    """
    panels = _panels(figure, len(signals))
    for (name, (truth, predicted)), axes in zip(signals.items(), panels, strict=False):
        evaluation.spectrum(truth, predicted, axes, name)
    _legend(figure, panels[0])
    titled(figure, f"{title}: spectra of test signals and of what is predicted one step ahead")


def paths(rollouts: Sequence[Rollout], title: str, figure: Figure) -> None:
    """Fill a figure with the first example of every kind from above, and the errors of all over the horizon.

    Parameters
    ----------
    rollouts
        One of each kind, of two coordinates or more.
    title
        Whose they are.
    figure
        An empty one.
    """
    rows = 1 + -(-len(rollouts) // COLUMNS)
    figure.set_size_inches(style.WIDTH, 0.8 + 2.3 * rows)
    grid = figure.add_gridspec(rows, COLUMNS)
    for number, rollout in enumerate(rollouts):
        axes = figure.add_subplot(grid[divmod(number, COLUMNS)])
        evaluation.from_above(rollout, 0, axes)
        if not number:
            _legend(figure, axes)
    evaluation.over_steps(rollouts, figure.add_subplot(grid[-1, :]))
    given = rollouts[0].context.shape[1]
    titled(figure, f"{title}: paths from above after {given} given tokens, and the errors of all")


def _legend(figure: Figure, axes: Axes) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _panels(figure: Figure, number: int) -> list[Axes]:
    columns = min(number, COLUMNS)
    rows = -(-number // columns)
    figure.set_size_inches(style.WIDTH, 0.9 + 1.9 * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[number:]:
        axes.set_axis_off()
    return panels
