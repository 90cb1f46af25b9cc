"""How the archive fills: coverage, QD score and objectives over the rounds of a run."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis import style

# Column of the rounds frame, what it is called, its colour and its line.
Curve = tuple[str, str, str, str]
COVERAGE: tuple[Curve, ...] = (
    ("coverage", "cells", style.BLUE, "-"),
    ("component_coverage", "distinct components", style.ORANGE, "--"),
    ("lineage_coverage", "distinct lineages", style.GREEN, ":"),
)
QD_SCORE: tuple[Curve, ...] = (("qd_score", "QD score", style.BLUE, "-"),)
OBJECTIVE: tuple[Curve, ...] = (
    ("best_objective", "best elite", style.BLUE, "-"),
    ("mean_objective", "mean of elites", style.ORANGE, "--"),
)


def _lines(rounds: pd.DataFrame, axes: Axes, curves: Sequence[Curve]) -> Axes:
    marker = "o" if len(rounds) <= 30 else ""  # a single round would not show as a line
    for column, name, colour, line in curves:
        values = pd.to_numeric(rounds[column])  # an archive without elites has no best: None
        axes.plot(rounds["round"], values, color=colour, linestyle=line, marker=marker, label=name)
    return style.round_axis(axes, rounds["round"])


def coverage(rounds: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the share of cells that are filled, and that share counted by component and by lineage.

    A part that drifts while it trains can hold many cells, so the lower curves say how many different
    parts and founders the filled cells go back to, over the number of cells.

    Parameters
    ----------
    rounds
        One row per round: ``round``, ``coverage``, ``component_coverage``, ``lineage_coverage`` (shares).
    axes
        Where to draw.
    """
    _lines(rounds, axes, COVERAGE)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g}")
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("coverage [% of cells]")
    style.legend_above(axes, columns=1)
    return axes


def qd_score(rounds: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the QD score, the sum of the elites' objectives above the offset, over the rounds."""
    _lines(rounds, axes, QD_SCORE)
    axes.set_ylim(bottom=min(0.0, float(pd.to_numeric(rounds["qd_score"]).min())))
    axes.set_ylabel("QD score [sum of objectives]")
    return axes


def objective(rounds: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the best and the mean objective of the elites over the rounds; a round without any has a gap."""
    if pd.to_numeric(rounds["best_objective"]).isna().all():
        return style.message(axes, style.EMPTY_ARCHIVE)
    _lines(rounds, axes, OBJECTIVE)
    axes.set_ylabel(style.OBJECTIVE)
    style.legend_above(axes, columns=1)
    return axes
