"""What calibration found, as a table for the person who asks before a run: `plasmodia validate --calibrate`."""

from collections.abc import Mapping, Sequence
from typing import Any

from qd.canonical import number
from qd.measures import short_name
from qd.validity.remedies import ways_out
from qd.validity.verdict import grade
from runs.calibration.constants import Calibration


def prospect(measures: Sequence[str], calibration: Calibration) -> str:
    """Return training, usefulness and verdict, and a line for each measure: its range, reliability and MSA.

    Parameters
    ----------
    measures
        Names of the measures, in order.
    calibration
        What was found.
    """
    verdict, seen = calibration.verdict, calibration.outlook
    rows = []
    if seen is not None:
        rows += [
            ("training loss", f"{seen.loss:.4g} (the best constant answer: {seen.constant_loss:.4g})"),
            ("useful components", f"{seen.useful} of {seen.assayed} (95 % bound of the assay above 0)"),
        ]
    rows += [
        ("reference assay", f"{calibration.reference:.4g}"),
        ("verdict", f"{verdict['status']}, KMO {_written(verdict['kmo'])}{_graded(verdict)}"),
        *([("quantisation error", _errors(seen.quantisation))] if seen and seen.quantisation else []),
        ("independent measures", f"{_written(verdict['effective_dimension'])} of {len(measures)}"),
        ("95 % of the variance", f"{_components(verdict)}"),
        *(("", str(reason)) for reason in verdict["reasons"]),
        *([("", ways_out(verdict["names"], verdict["advice"]))] if verdict["reasons"] else []),
    ]
    reliability, msa = (verdict[name] or [None] * len(measures) for name in ("reliability", "msa"))
    ranges = zip(calibration.ranges.low, calibration.ranges.high, strict=True)
    for name, (low, high), reliable, adequacy in zip(measures, ranges, reliability, msa, strict=True):
        figures = f"reliability {_written(reliable)}, MSA {_written(adequacy)}"
        rows.append((short_name(name), f"{low:.3g} to {high:.3g}, {figures}"))
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)


def _graded(verdict: Mapping[str, Any]) -> str:
    """Return the blueprint's word for a KMO, and beside a high one what makes it high."""
    if verdict["kmo"] is None:
        return ""
    word = grade(number(verdict["kmo"]))
    if word in ("good", "excellent"):
        closest = _written(verdict["largest_correlation"])
        return (
            f" ({word} by the blueprint; near-copies score highest, and the closest two have |r| {closest})"
        )
    return f" ({word} by the blueprint)"


def _errors(quantisation: Sequence[tuple[str, float]]) -> str:
    """Return the mean squared distance to the nearest centroid, for each way to place centroids that was tried."""
    return ", ".join(f"{error:.3g} ({way})" for way, error in quantisation)


def _components(verdict: Mapping[str, Any]) -> str:
    linear, curved = (verdict.get(name) for name in ("principal_components", "kernel_components"))
    return "-" if linear is None else f"{linear} principal components, {curved or '-'} by kernel PCA (RBF)"


def _written(value: Any) -> str:
    return "-" if value is None else f"{number(value):.2f}"
