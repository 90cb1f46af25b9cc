"""The summary of a round: the numbers by which its event says how the run stands."""

import math
from collections.abc import Sequence
from typing import Any

from qd.archive import Archive
from qd.records import Census, Decision
from qd.view import View


def summary_of(
    decisions: Sequence[Decision], censuses: Sequence[Census], archive: Archive, view: View
) -> dict[str, Any]:
    """Return what a round came to, but for births, deaths and emitters; None is "there was none".

    Parameters
    ----------
    decisions, censuses
        Of the round, one for each organism.
    archive, view
        After its competitions.
    """
    finite = [census for census in censuses if census.quarantine is None]
    scores = [census.validation_score for census in finite]
    best = view.best
    furthest = _furthest(decisions)
    return {
        "round": furthest.round,
        "coverage": view.coverage,
        "component_coverage": view.component_coverage,
        "lineage_coverage": view.lineage_coverage,
        "qd_score": view.qd_score,
        "normalised_qd_score": view.normalised_qd_score,
        "best_objective": None if best is None else best.objective,
        "mean_objective": view.mean_objective,
        "alive": sum(len(census.records) for census in finite),
        "quarantined": len(censuses) - len(finite),
        "phase": furthest.phase,
        "temperature": furthest.temperature,
        "mean_loss": _mean([census.loss for census in finite]),
        "best_validation_score": max(scores, default=None),
        "mean_validation_score": _mean(scores),
        "out_of_range": archive.out_of_range,
        "visited_cells": int((archive.visits > 0).sum()),
        "improvements": int(archive.improvements.sum()),
        "flops_training": math.fsum(census.flops_training for census in censuses),
        "flops_assays": math.fsum(census.flops_assays for census in censuses),
    }


def _furthest(decisions: Sequence[Decision]) -> Decision:
    """Return the first decision for an organism of the most optimizer steps: quarantines undo some of the others'."""
    return max(decisions, key=lambda decision: decision.step)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
