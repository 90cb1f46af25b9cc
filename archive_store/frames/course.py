"""Frames of how a run goes: rounds in numbers, checks of the behaviour space, durations."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from archive_store.frames.table import Row, by_measure, frame, kind_of, numeric, optional
from archive_store.journal.chain import Event
from archive_store.journal.journal import Timing
from archive_store.journal.values import values
from qd.canonical import NON_FINITE
from qd.emitters.records import HeldOut

if TYPE_CHECKING:
    import pandas as pd

_ROUNDS = {
    "round": "int64", "digest": "object", "coverage": "float64", "component_coverage": "float64",
    "lineage_coverage": "float64", "qd_score": "float64", "normalised_qd_score": "float64",
    "best_objective": "float64", "mean_objective": "float64", "births": "int64", "deaths": "int64",
    "alive": "int64", "quarantined": "int64", "temperature": "float64", "phase": "object",
    "mean_loss": "float64",
    "best_validation_score": "float64", "mean_validation_score": "float64",
}  # fmt: skip
_TIMINGS = {
    "round": "int64",
    "organism": "float64",
    "name": "object",
    "seconds": "float64",
    "worker": "object",
}
_LOOKS = ("best_objective", "mean_objective", "coverage", "qd_score", "useful")
_PER_MEASURE = ("out_of_range",)  # entries of a summary that are lists of one value per measure
_VERDICT = (
    *("kmo", "bartlett_chi2", "bartlett_p", "effective_dimension", "largest_correlation"),
    *("principal_components", "kernel_components"),
)
_SIZES = ("n", "organisms")  # of the sample; NaN where a verdict does not say


def rounds(
    events: Iterable[Event],
    digests: Mapping[int, str],
    measures: Sequence[str],
    looks: Iterable[Event] = (),
) -> "pd.DataFrame":
    """One row per summary, with its entries, the round's digest, and the second look at its elites if there was one.

    An entry with one value per measure becomes a column ``<entry>_<measure>`` of each.

    Parameters
    ----------
    events
        Summaries of rounds.
    digests
        Of the rounds.
    measures
        Names of the run's measures, in order.
    looks
        Second looks at elites, on held-out examples.

    Raises
    ------
    JournalError
        If an event has more or fewer values than there are names of measures, here and in the other frames.
    """
    seen = {
        look.round: {f"held_out_{name}": getattr(look, name) for name in _LOOKS}
        for look in values(looks, HeldOut)
    }
    rows = [
        _summary(event.value, measures) | {"digest": digests.get(event.round)} | seen.get(event.round, {})
        for event in events
    ]
    if not rows:
        return frame(rows, _ROUNDS)
    names = dict.fromkeys([*_ROUNDS, *(name for row in rows for name in row)])
    return frame(rows, {name: kind_of([row.get(name) for row in rows]) for name in names})


def validity(verdicts: Iterable[tuple[int, Mapping[str, Any]]], measures: Sequence[str]) -> "pd.DataFrame":
    """One row per verdict on the behaviour space, given with its round; 0 is calibration.

    Measures of sampling adequacy are ``msa_<measure>``, correlations ``correlation_<measure>_<measure>``.
    """
    rows = [_verdict(round, value, measures) for round, value in verdicts]
    numbers = ["kmo", "kmo_low", "kmo_high", *(f"msa_{name}" for name in measures), *_VERDICT[1:]]
    pairs = [f"correlation_{first}_{second}" for first, second in combinations(measures, 2)]
    columns = {"round": "int64", "status": "object"} | numeric([*_SIZES, *numbers, *pairs])
    return frame(rows, columns | {"reasons": "object"})


def timings(items: Iterable[Timing]) -> "pd.DataFrame":
    """One row per duration in seconds; organism is NaN for what the whole run did."""
    return frame([{name: getattr(item, name) for name in _TIMINGS} for item in items], _TIMINGS)


def _summary(value: Mapping[str, Any], measures: Sequence[str]) -> Row:
    row: Row = {}
    for name, entry in value.items():
        if name == "kind":
            continue
        if name in _PER_MEASURE:
            row |= by_measure(entry, measures, f"{name}_")
        elif isinstance(entry, list):
            row[name] = tuple(entry)
        else:
            row[name] = NON_FINITE.get(entry, entry) if isinstance(entry, str) else entry
    return row


def _verdict(round: int, value: Mapping[str, Any], measures: Sequence[str]) -> Row:
    low, high = value.get("kmo_interval") or (None, None)
    msa: Sequence[Any] = value.get("msa") or [None] * len(measures)
    row: Row = {"round": round, "status": value.get("status"), "reasons": tuple(value.get("reasons", ()))}
    row |= {name: optional(value.get(name)) for name in (*_SIZES, *_VERDICT)}
    row |= {"kmo_low": optional(low), "kmo_high": optional(high)}
    row |= by_measure([optional(item) for item in msa], measures, "msa_")
    matrix = value.get("correlations")
    if matrix is not None:
        rows = by_measure(matrix, measures)
        for first, second in combinations(measures, 2):
            row[f"correlation_{first}_{second}"] = optional(by_measure(rows[first], measures)[second])
    return row
