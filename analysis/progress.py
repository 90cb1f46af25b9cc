"""How a run goes on: losses and scores of its organisms, how the archive fills, what parts are."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import style

# Column of the rounds frame, what it is called, its colour and its line.
Curve = tuple[str, str, str, str]
LOSS: tuple[Curve, ...] = (
    ("mean_loss", "training, over the round", style.BLUE, "-"),
    ("validation_loss", "validation, at its end", style.ORANGE, "--"),
)
SCORE: tuple[Curve, ...] = (
    ("best_validation_score", "best organism", style.BLUE, "-"),
    ("mean_validation_score", "mean of organisms", style.ORANGE, "--"),
)
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

PROPERTIES = {  # column of the records frame, and what its axis is called
    "home_effective_rank": "effective rank [directions]",
    "home_coherence": "coherence [mean cosine]",
    "home_correlation": "correlation [mean]",
}


def _lines(rounds: pd.DataFrame, axes: Axes, curves: Sequence[Curve]) -> Axes:
    marker = "o" if len(rounds) <= 30 else ""  # a single round would not show as a line
    for column, name, colour, line in curves:
        values = pd.to_numeric(rounds[column])  # an archive without elites has no best: None
        values = values.where(np.isfinite(values))  # infinity has no place on an axis
        axes.plot(rounds["round"], values, color=colour, linestyle=line, marker=marker, label=name)
    return style.round_axis(axes, rounds["round"])


def loss(rounds: pd.DataFrame, census: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the mean training and validation loss of the organisms; a round that is not finite is a gap.

    Parameters
    ----------
    rounds
        One row per round: ``round``, ``mean_loss``.
    census
        ``round``, ``validation_loss``; NaN in quarantine, which the mean of the others leaves out.
    axes
        Where to draw.
    """
    means = census.groupby("round")["validation_loss"].mean()
    _lines(rounds.assign(validation_loss=rounds["round"].map(means)), axes, LOSS)
    axes.set_ylabel("loss [mean of organisms]")
    style.legend_above(axes, columns=2)
    return axes


def score(rounds: pd.DataFrame, axes: Axes, name: str) -> Axes:
    """Draw the best and the mean validation score of the organisms.

    Parameters
    ----------
    rounds
        One row per round: ``round``, ``best_validation_score``, ``mean_validation_score``.
    axes
        Where to draw.
    name
        Of the score, such as accuracy or R2.
    """
    _lines(rounds, axes, SCORE)
    axes.set_ylabel(f"validation {style.plain(name)}")
    style.legend_above(axes, columns=2)
    return axes


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
        return style.message(axes, style.EMPTY_SO_LOOK)
    _lines(rounds, axes, OBJECTIVE)
    axes.set_ylabel(style.OBJECTIVE)
    style.legend_above(axes, columns=1)
    return axes


def parts(records: pd.DataFrame, axes: Axes, column: str) -> Axes:
    """Draw what living components are in their own organisms over the rounds: the median, and the middle half of them.

    Parameters
    ----------
    records
        One row per living component and round: ``round`` and the column.
    axes
        Where to draw.
    column
        One of `PROPERTIES`.
    """
    quarters = records.groupby("round")[column].quantile(np.array([0.25, 0.5, 0.75])).unstack()
    band = axes.fill_between(quarters.index, quarters[0.25], quarters[0.75], label="middle half")
    band.set(color=style.BLUE, alpha=0.25, linewidth=0)
    marker = "o" if len(quarters) <= 30 else ""
    axes.plot(quarters.index, quarters[0.5], color=style.BLUE, marker=marker, label="median part")
    axes.set_ylabel(PROPERTIES[column])
    style.legend_above(axes, columns=2)
    return style.round_axis(axes, records["round"])
