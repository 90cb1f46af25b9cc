"""Frames of the archive: competitions and elites, the second look at these, and the children of emitters."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from archive_store.errors import JournalError
from archive_store.frames.components import RECORDS
from archive_store.frames.table import (
    GENE,
    USAGE,
    Row,
    by_measure,
    frame,
    gene_columns,
    named,
    numeric,
    of_genes,
)
from archive_store.journal.chain import Event
from archive_store.journal.values import value_of, values
from qd.chemotaxis.tries import tried
from qd.emitters.records import Emission, Emitted, HeldOut
from qd.records import Child, ComponentId, Decision, Outcome

if TYPE_CHECKING:
    import pandas as pd

_OUTCOMES = {
    "round": "int64", "component": "object", "cell": "int64", "status": "object", "objective": "float64",
    "incumbent": "object", "incumbent_objective": "float64", "lineage": "object",
}  # fmt: skip
_ELITES = {
    "cell": "int64", "component": "object", "lineage": "object", "parents": "object", "depth": "int64",
    "round": "int64", "objective": "float64", "genome": "object", "handle": "int64", "emitter": "object",
    "tries": "int64",
}  # fmt: skip
_HELD_OUT = {
    "round": "int64", "cell": "int64", "objective": "float64", "assay": "float64", "assay_lower": "float64",
}  # fmt: skip
_EMITTERS = {
    "round": "int64", "chunk": "int64", "emitter": "object", "children": "int64", "scored": "int64",
    "useful": "int64", "won": "int64", "gain": "float64", "mean_assay": "float64", "flops": "float64",
}  # fmt: skip
_CHILDREN = {
    "round": "int64", "component": "object", "lineage": "object", "parents": "object", "depth": "int64",
    "emitter": "object", "assay": "float64", "assay_lower": "float64", "gradient": "float64", "flops": "float64",
    "genome": "object", "worth": "float64",
}  # fmt: skip


def taken(name: str) -> bool:
    """Whether a frame with a column for each measure has another column of this name."""
    return name in RECORDS or name in _ELITES or name.startswith((GENE, USAGE))


def outcomes(events: Iterable[Event]) -> "pd.DataFrame":
    """One row per competition for a cell, in the order in which they were held."""
    rows = []
    for value in values(events, Outcome):
        incumbent = None if value.incumbent is None else str(value.incumbent)
        row = named(value.candidate.component, value.candidate.lineage, ())
        row |= {"round": value.candidate.round, "objective": value.candidate.objective, "cell": value.cell}
        row |= {"status": value.status, "incumbent": incumbent}
        rows.append(row | {"incumbent_objective": value.incumbent_objective})
    return frame(rows, _OUTCOMES)


def elites(
    events: Iterable[Event],
    measures: Sequence[str],
    chunks: Iterable[Event] = (),
    decisions: Iterable[Event] = (),
) -> "pd.DataFrame":
    """One row per filled cell after these competitions, cells ascending; behaviours in the unit cube.

    ``round`` is when the elite was measured, ``handle`` counts the accepted candidates from 0.

    Parameters
    ----------
    events
        Competitions.
    measures
        Names of the run's measures, in order.
    chunks
        Emissions and what came of them, which say what emitter an elite is of.
    decisions
        Of the same rounds, which say how often births tried an elite.
    """
    tries = tried({}, values(decisions, Decision))
    made = {child.component: emitter for _, emitter, child in _children(chunks)}
    filled: dict[int, Row] = {}
    accepted = (value for value in values(events, Outcome) if value.status != "reject")
    for handle, value in enumerate(accepted):
        item = value.candidate
        row: Row = {"cell": value.cell, "handle": handle, "depth": item.depth, "round": item.round}
        row |= {"objective": item.objective, "genome": item.genome} | of_genes(item.genes)
        row |= named(item.component, item.lineage, item.parents) | {"emitter": made.get(item.component)}
        row["tries"] = tries.get(item.genome, 0)
        filled[value.cell] = row | by_measure(item.behaviour, measures)
    rows = [filled[cell] for cell in sorted(filled)]
    return frame(rows, _ELITES | numeric(measures) | gene_columns(rows))


def held_out(events: Iterable[Event], measures: Sequence[str]) -> "pd.DataFrame":
    """One row per elite and second look, on held-out examples; behaviours in the unit cube."""
    rows = [
        {"round": look.round, **{name: getattr(elite, name) for name in _HELD_OUT if name != "round"}}
        | by_measure(elite.behaviour, measures)
        for look in values(events, HeldOut)
        for elite in look.elites
    ]
    return frame(rows, _HELD_OUT | numeric(measures))


def emitters(events: Iterable[Event]) -> "pd.DataFrame":
    """One row per chunk of children, from emissions, what came of them, and the competitions.

    Raises
    ------
    JournalError
        If children of a chunk were scored that no emission made, or made and never scored.
    """
    rows: dict[tuple[int, int], Row] = {}
    row: Row
    chunks: dict[ComponentId, tuple[int, int]] = {}
    for value in map(value_of, events):
        match value:
            case Emission():
                row = {"round": value.round, "chunk": value.chunk, "emitter": value.emitter}
                rows[value.round, value.chunk] = row | {
                    "children": len(value.children),
                    "won": 0,
                    "gain": 0.0,
                }
            case Emitted():
                if (value.round, value.chunk) not in rows:
                    raise JournalError(
                        f"round {value.round} scored children of chunk {value.chunk}, which no emitter made; restore "
                        "the journal from a copy"
                    )
                row = rows[value.round, value.chunk]
                row |= {name: getattr(value, name) for name in ("scored", "useful", "mean_assay", "flops")}
                chunks |= {child.component: (value.round, value.chunk) for child in value.contenders}
            case Outcome(candidate, status) if status != "reject" and candidate.component in chunks:
                before = value.incumbent_objective
                row = rows[chunks[candidate.component]]
                row["won"] += 1
                row["gain"] += candidate.objective - (0.0 if before is None else before)
    lost = next((row for row in rows.values() if "scored" not in row), None)
    if lost is not None:
        raise JournalError(
            f"children of chunk {lost['chunk']} of round {lost['round']} were made and never scored; restore the "
            "journal from a copy"
        )
    return frame(list(rows.values()), _EMITTERS)


def children(events: Iterable[Event], measures: Sequence[str]) -> "pd.DataFrame":
    """One row per child that could win a cell; raw measures by name, genes as ``gene_<name>``."""
    rows = [
        {"round": round, "emitter": emitter}
        | {name: getattr(child, name) for name in _CHILDREN if hasattr(child, name)}
        | named(child.component, child.lineage, child.parents)
        | by_measure(child.measures, measures)
        | of_genes(child.genes)
        for round, emitter, child in _children(events)
    ]
    return frame(rows, _CHILDREN | numeric(measures) | gene_columns(rows))


def _children(events: Iterable[Event]) -> Iterator[tuple[int, str, Child]]:
    """Yield round, emitter and every child that could win, from emissions and what came of them."""
    names: dict[tuple[int, int], str] = {}
    for value in map(value_of, events):
        if isinstance(value, Emission):
            names[value.round, value.chunk] = value.emitter
        elif isinstance(value, Emitted):
            for child in value.contenders:
                yield value.round, names.get((value.round, value.chunk), ""), child
