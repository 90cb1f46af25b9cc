"""What the checks of the behaviour space found, over the rounds in which they were made; 0 is calibration."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import style
from qd.validity.findings import KMO_STOP, KMO_WARN, LARGEST_CORRELATION, LEAST_DIMENSION_SHARE

_MSA = "msa_"
STATUSES = {  # marker, colour
    "ok": ("o", style.GREEN),
    "warn": ("^", style.ORANGE),
    "stop": ("X", style.VERMILLION),
    "skipped": ("d", style.GREY),
}


def kmo(checks: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the Kaiser-Meyer-Olkin index with its 95 % interval; the marker is the verdict.

    A check that could not compute the index has its marker at the foot of the axes.

    Parameters
    ----------
    checks
        One row per check: ``round``, ``kmo``, ``kmo_low``, ``kmo_high``, ``status``.
    axes
        Where to draw.
    """
    known = checks[checks["kmo"].notna()]
    axes.plot(known["round"], known["kmo"], color=style.GREY, linewidth=1.0, zorder=2)
    spread = known[known["kmo_low"].notna() & known["kmo_high"].notna()]
    axes.vlines(
        spread["round"],
        spread["kmo_low"],
        spread["kmo_high"],
        color=style.EMPTY,
        linewidth=2.2,
        zorder=1.5,
        label="95 %",
    )
    _statuses(checks, checks["kmo"].fillna(0.0), axes)
    style.limit(axes, KMO_STOP, "gate")
    style.limit(axes, KMO_WARN, "weak")
    axes.set_ylim(0.0, 1.0)
    axes.set_ylabel("KMO [share]")
    style.legend_above(axes, columns=5)
    return style.round_axis(axes, checks["round"])


def verdicts(checks: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the verdicts alone, for two measures, which have no Kaiser-Meyer-Olkin index.

    Parameters
    ----------
    checks
        One row per check: ``round``, ``status``.
    axes
        Where to draw.
    """
    _statuses(checks, pd.Series(0.0, index=checks.index), axes)
    style.note(axes, "The KMO needs at least three measures\nand was not computed.")
    axes.set_ylim(0.0, 1.0)
    axes.set_yticks([])
    axes.set_ylabel("verdict")
    style.legend_above(axes, columns=5)
    return style.round_axis(axes, checks["round"])


def msa(checks: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the measure of sampling adequacy of each measure, from the columns ``msa_<measure>``."""
    looks = zip(_measures(checks), style.MEASURE_COLOURS, style.MEASURE_MARKERS, strict=False)
    for name, colour, marker in looks:
        values = checks[f"{_MSA}{name}"]
        _curve(checks["round"], values, axes, color=colour, marker=marker, label=style.plain(name))
    style.limit(axes, KMO_STOP, f"{KMO_STOP:g}")
    axes.set_ylim(0.0, 1.0)
    axes.set_ylabel("MSA of each measure [share]")
    style.legend_above(axes, columns=2)
    return style.round_axis(axes, checks["round"])


def samples(checks: pd.DataFrame) -> str:
    """Return how large the samples of the checks are, in a line for calibration and one for all later checks."""
    found = checks.sort_values("round")
    stages = (("calibration", found[found["round"] == 0]), ("later checks", found[found["round"] > 0]))
    return "\n".join(
        f"{name}: n = {_span(part['n'])} rows of {_span(part['organisms'])} organisms"
        for name, part in stages
        if part["n"].notna().any()
    )


def sizes(checks: pd.DataFrame, axes: Axes) -> Axes:
    """Write how large the `samples` are over the axes and the one line of their legend."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(samples(checks), (0.0, 1.0), (2.0, 19.0), **place, fontsize=7.5, va="bottom")
    return axes


def _span(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"


def correlation_matrix(checks: pd.DataFrame) -> pd.DataFrame:
    """Return the correlations [p, p] of the last check that has any; NaN off the diagonal if none has.

    Rows and columns are called by the measures.
    """
    names = _measures(checks)
    pairs = list(combinations(names, 2))
    columns = [f"correlation_{first}_{second}" for first, second in pairs]
    known = checks.sort_values("round")[columns].dropna(how="all")
    values = known.iloc[-1] if len(known) else pd.Series(np.nan, index=columns)
    matrix = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
    for (first, second), column in zip(pairs, columns, strict=True):
        matrix.loc[first, second] = matrix.loc[second, first] = values[column]
    return matrix


def correlations(matrix: pd.DataFrame, axes: Axes) -> Axes:
    """Draw a correlation matrix of the measures as coloured numbers.

    Parameters
    ----------
    matrix
        [p, p] in [-1, 1], as `correlation_matrix` returns it; NaN and the diagonal are left grey.
    axes
        Where to draw.
    """
    off_diagonal = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)  # all ones there say nothing
    axes.set_facecolor(style.FAINT)
    image = axes.imshow(off_diagonal, cmap=style.CORRELATION_MAP, vmin=-1.0, vmax=1.0, aspect="equal")
    size = 7.5 * min(1.0, 5.5 / len(matrix))  # so that numbers stay apart
    for (row, column), value in np.ndenumerate(off_diagonal):
        if np.isfinite(value):
            ink = "white" if abs(value) > 0.65 else style.INK
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=size)
    names = [style.plain(name) for name in matrix.columns]
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.8, aspect=20, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.outline.set_visible(False)
    bar.set_label("correlation r")
    return axes


def largest_correlation(checks: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the size of the closest correlation of two measures, under the limit for stopping."""
    _curve(checks["round"], checks["largest_correlation"], axes, color=style.BLUE)
    style.limit(axes, LARGEST_CORRELATION, "gate")
    axes.set_ylim(0.0, 1.0)
    axes.set_ylabel("largest |r|")
    return style.round_axis(axes, checks["round"])


def effective_dimension(checks: pd.DataFrame, axes: Axes) -> Axes:
    """Draw how many independent measures those of the run amount to, over the limit for stopping."""
    count = len(_measures(checks))
    _curve(checks["round"], checks["effective_dimension"], axes, color=style.BLUE)
    style.limit(axes, LEAST_DIMENSION_SHARE * count, "gate")
    axes.set_ylim(1.0, float(count))
    axes.set_yticks(range(1, count + 1))
    axes.set_ylabel("effective dimension\n[measures]")
    return style.round_axis(axes, checks["round"])


def _statuses(checks: pd.DataFrame, heights: pd.Series, axes: Axes) -> None:
    for status, (marker, colour) in STATUSES.items():
        chosen = checks["status"] == status
        if chosen.any():
            look: dict[str, Any] = {
                "color": colour,
                "markersize": 6 if len(checks) <= 25 else 4,
                "zorder": 3,
                "clip_on": False,
                "label": status,
            }
            axes.plot(checks["round"][chosen], heights[chosen], marker, **look)


def _measures(checks: pd.DataFrame) -> list[str]:
    return [name.removeprefix(_MSA) for name in checks.columns if name.startswith(_MSA)]


def _curve(rounds: pd.Series, values: pd.Series, axes: Axes, **look: Any) -> None:
    axes.plot(
        rounds, values, **{"marker": "o", "linewidth": 1.1, "markevery": style.sparse(len(rounds)), **look}
    )
