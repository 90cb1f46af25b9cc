"""How the arms of an experiment degrade: the scores of their best networks against the share of parts removed."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis import style
from analysis.experiments.curves import legend, look
from analysis.statistics.intervals import band
from qd.seeding import generator

Curve = tuple[Sequence[float], Sequence[float]]  # shares that are removed, from 0 to 1, and the score at each
SHARES = np.linspace(0.0, 1.0, 41)


def gathered(curves: Sequence[Curve]) -> np.ndarray:
    """Return the scores of some networks at `SHARES`, [networks, shares]; between shares a straight line is drawn."""
    return np.stack([np.interp(SHARES, shares, scores) for shares, scores in curves])


def band_of(values: np.ndarray, arm: str, order: str) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the interval of the mean at every share.

    Parameters
    ----------
    values
        Of two networks or more, [networks, shares].
    arm, order
        What is drawn, by which the resamples are named.
    """
    return band(values, generator(0, 0, f"band of degradation of {arm}, {order}"))


def degradation(found: Mapping[str, Mapping[str, Sequence[Curve]]], figure: Figure, score: str) -> Figure:
    """Fill a figure with a panel for each order of removal, a line for each arm: the mean over seeds, with its band.

    Parameters
    ----------
    found
        The curves of each seed, by order and by arm.
    figure
        An empty one.
    score
        Name of the task's score.
    """
    figure.set_size_inches(style.WIDTH, 3.4)
    grid = figure.subplots(1, len(found), squeeze=False, sharey="row")[0]
    for axes, (order, arms) in zip(grid, found.items(), strict=True):
        for place, (arm, curves) in enumerate(arms.items()):
            if not curves:
                continue
            looks, values = look(place), gathered(curves)
            label = f"{style.drawable(arm)} ({len(curves)})"
            axes.plot(100 * SHARES, values.mean(axis=0), label=label, **looks)
            if len(curves) > 1:
                ends = band_of(values, arm, order)
                axes.fill_between(100 * SHARES, *ends, color=looks["color"], alpha=0.15, linewidth=0)
        axes.set_title(order, fontweight="normal")
        axes.set_xlabel("parts removed [%]")
    seen = [
        each for arms in found.values() for curves in arms.values() for _, scores in curves for each in scores
    ]
    if seen and max(seen) > min(seen):
        margin = 0.1 * (max(seen) - min(seen))
        grid[0].set_ylim(min(seen) - margin, max(seen) + margin)
    grid[0].set_ylabel(f"test {style.plain(score)}\n[best network]")
    legend(figure, grid[0])
    return figure
