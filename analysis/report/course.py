"""How a run goes on, as charts of lines: losses, scores, coverage, objectives, and what emitters brought."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.report.blocks import Chart
from analysis.report.values import numbers, plain, thinned

Lines = Mapping[str, str]  # what each column is called


def lines(
    frame: pd.DataFrame,
    columns: Lines,
    title: str,
    unit: str,
    *,
    limits: Mapping[str, float] | None = None,
) -> Chart | None:
    """Return a chart of columns over rounds, or None where none of them has a number.

    Parameters
    ----------
    frame
        A row a round.
    columns
        Those that are drawn, and what they are called; one that the frame does not have is left out.
    title
        Of the chart.
    unit
        What its vertical axis is called.
    limits
        Level lines by name.
    """
    known = [name for name in columns if name in frame and frame[name].notna().any()]
    if not known:
        return None
    kept = thinned(frame.sort_values("round"))
    series = [
        {"name": columns[name], "x": numbers(kept["round"]), "y": numbers(kept[name])} for name in known
    ]
    return chart(title, unit, series, limits=limits)


def chart(
    title: str,
    unit: str,
    series: Sequence[Mapping[str, Any]],
    along: str = "round",
    *,
    limits: Mapping[str, float] | None = None,
) -> Chart:
    """Return a chart of lines.

    Parameters
    ----------
    title
        Of the chart.
    unit
        What its vertical axis is called.
    series
        Each with ``name``, ``x``, ``y`` and, for a band, ``low`` and ``high``.
    along
        What its horizontal axis is called.
    limits
        Level lines by name.
    """
    data = {
        "along": along,
        "unit": plain(unit),
        "series": [{**each, "name": plain(each["name"])} for each in series],
        "limits": [[name, plain(value)] for name, value in (limits or {}).items()],
    }
    names = ", ".join(str(each["name"]) for each in series)
    return Chart(
        "lines", str(plain(title)), f"Lines over {along}: {names}. Arrow keys read their values.", data
    )


def progress(rounds: pd.DataFrame, census: pd.DataFrame, score: str) -> list[Chart]:
    """Return the charts of a run's progress.

    Parameters
    ----------
    rounds, census
        Frames of the run.
    score
        What the score of its task is called.
    """
    losses = census.groupby("round")["validation_loss"].mean()
    frame = rounds.assign(validation_loss=rounds["round"].map(losses))
    asked: list[tuple[Lines, str, str]] = [
        (
            {
                "mean_loss": "training, over the round",
                "validation_loss": "validation, at its end",
            },
            "Loss",
            "mean of organisms",
        ),
        (
            {
                "best_validation_score": "best organism",
                "mean_validation_score": "mean of organisms",
            },
            f"Validation {score}",
            score,
        ),
        (
            {
                "coverage": "cells",
                "component_coverage": "distinct components",
                "lineage_coverage": "distinct lineages",
                "held_out_coverage": "cells, on held-out examples",
            },
            "Coverage",
            "share of cells",
        ),
        (
            {"qd_score": "QD score", "held_out_qd_score": "on held-out examples"},
            "QD score",
            "sum of objectives",
        ),
        (
            {
                "best_objective": "best elite",
                "mean_objective": "mean of elites",
                "held_out_best_objective": "best, on held-out examples",
                "held_out_mean_objective": "mean, on held-out examples",
            },
            "Objective",
            "0 to 1",
        ),
    ]
    found = [lines(frame, *each) for each in asked]
    return [each for each in found if each is not None]
