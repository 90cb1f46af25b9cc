"""Journal events as pandas frames: one row per round, census, record, decision, competition or verdict.

Component ids are texts "organism.born.slot", several are a tuple of them; a missing number is NaN and a missing
text None. A frame without rows has all its columns. Columns of measures have the names that are given, in the
order of the run.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from archive_store.errors import JournalError
from archive_store.journal.chain import Event
from archive_store.journal.journal import Timing
from archive_store.journal.values import value_of, values
from qd.canonical import NON_FINITE, number
from qd.emitters.records import Emission, Emitted, HeldOut
from qd.lifecycle.trial import ROOM
from qd.records import Census, Child, ComponentId, Decision, Genes, Outcome

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
Columns = Mapping[str, str]  # name to NumPy type

_GENE, _USAGE = "gene_", "usage_"
_ROUNDS = {
    "round": "int64", "digest": "object", "coverage": "float64", "component_coverage": "float64",
    "lineage_coverage": "float64", "qd_score": "float64", "normalised_qd_score": "float64",
    "best_objective": "float64", "mean_objective": "float64", "births": "int64", "deaths": "int64",
    "alive": "int64", "quarantined": "int64", "temperature": "float64", "phase": "object",
    "mean_loss": "float64",
    "best_validation_score": "float64", "mean_validation_score": "float64",
}  # fmt: skip
_CENSUS = {
    "organism": "int64", "round": "int64", "loss": "float64", "probe_loss": "float64",
    "validation_loss": "float64", "validation_score": "float64", "step": "int64", "alive": "int64",
    "test_loss": "float64", "test_score": "float64", "state": "object", "quarantine": "object",
    "test_metrics": "object",
}  # fmt: skip
_RECORDS = {
    "organism": "int64", "round": "int64", "slot": "int64", "born": "int64", "component": "object",
    "lineage": "object", "parents": "object", "depth": "int64", "age": "int64", "assay": "float64",
    "assay_lower": "float64", "ablation": "float64", "gradient": "float64", "flops": "float64",
    "bytes": "float64", "genome": "object", "load": "float64",
}  # fmt: skip
_DECISIONS = {
    "organism": "int64", "round": "int64", "kind": "object", "slot": "int64", "component": "object",
    "parents": "object", "probability": "float64", "draw": "float64", "happens": "bool", "phase": "object",
    "temperature": "float64", "operator": "object", "z": "float64", "arm": "object", "lineage": "object",
    "objective": "float64", "threshold": "float64", "sigma": "float64", "reason": "object",
    "candidates": "float64", "chosen": "float64", "gain": "float64",
}  # fmt: skip
_TRIALS = {
    "organism": "int64", "round": "int64", "slot": "int64", "candidate": "int64", "operator": "object",
    "parents": "object", "loss": "float64", "gain": "float64", "chosen": "bool",
}  # fmt: skip
_OUTCOMES = {
    "round": "int64", "component": "object", "cell": "int64", "status": "object", "objective": "float64",
    "incumbent": "object", "incumbent_objective": "float64", "lineage": "object",
}  # fmt: skip
_ELITES = {
    "cell": "int64", "component": "object", "lineage": "object", "parents": "object", "depth": "int64",
    "round": "int64", "objective": "float64", "genome": "object", "handle": "int64", "emitter": "object",
}  # fmt: skip
_EMITTERS = {
    "round": "int64", "chunk": "int64", "emitter": "object", "children": "int64", "scored": "int64",
    "useful": "int64", "won": "int64", "gain": "float64", "mean_assay": "float64", "flops": "float64",
}  # fmt: skip
_CHILDREN = {
    "round": "int64", "component": "object", "lineage": "object", "parents": "object", "depth": "int64",
    "emitter": "object", "assay": "float64", "assay_lower": "float64", "gradient": "float64", "flops": "float64",
    "genome": "object",
}  # fmt: skip
_HELD_OUT = {
    "round": "int64", "cell": "int64", "objective": "float64", "assay": "float64", "assay_lower": "float64",
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
_VERDICT = ("kmo", "bartlett_chi2", "bartlett_p", "effective_dimension", "largest_correlation")
_SIZES = ("n", "organisms")  # of the sample; NaN where a verdict does not say


def taken(name: str) -> bool:
    """Whether a frame with a column for each measure has another column of this name."""
    return name in _RECORDS or name in _ELITES or name.startswith((_GENE, _USAGE))


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
    return frame(rows, {name: _kind([row.get(name) for row in rows]) for name in names})


def census(events: Iterable[Event]) -> "pd.DataFrame":
    """One row per organism and round; losses in nats per example.

    In quarantine ``quarantine`` says why, no component is counted as ``alive`` and losses are NaN: the round
    was undone. ``test_metrics`` are pairs of name and number, none before the last round.
    """
    rows = []
    for value in values(events, Census):
        row = {name: getattr(value, name) for name in _CENSUS if name != "alive"}
        rows.append(row | {"alive": len(value.records)})
    return frame(rows, _CENSUS)


def best_organism(census: "pd.DataFrame") -> int | None:
    """Return the organism of the best validation score in a census's last round; of equals the smaller number.

    None where no organism has a finite score: before the first round, and where all are in quarantine.
    """
    scores = census[census["round"] == census["round"].max()].set_index("organism")["validation_score"]
    known = scores[abs(scores) < math.inf].sort_index()
    return int(known.idxmax()) if len(known) else None


def records(events: Iterable[Event], measures: Sequence[str]) -> "pd.DataFrame":
    """One row per living component and round; raw measures by name, genes as ``gene_<name>``.

    ``load`` is the share of the probe tokens that the component answers, ``usage_<kind>`` its share of those of a
    kind of example; NaN where its family has all components answer all tokens.
    """
    rows = []
    for value in values(events, Census):
        for item in value.records:
            row = {name: getattr(item, name) for name in _RECORDS if hasattr(item, name)}
            row |= {"organism": value.organism, "round": value.round, "born": item.component.born}
            row |= {"slot": item.component.slot, **_names(item.component, item.lineage, item.parents)}
            row |= {f"{_USAGE}{name}": share for name, share in item.usage}
            rows.append(row | _by_measure(item.measures, measures) | _genes(item.genes))
    kinds = dict.fromkeys(name for row in rows for name in row if name.startswith(_USAGE))
    return frame(rows, _RECORDS | _numbers(measures) | _gene_columns(rows) | _numbers(kinds))


def decisions(events: Iterable[Event], censuses: Iterable[Event] = ()) -> "pd.DataFrame":
    """One row per birth or death that was considered; ``kind`` says which, ``happens`` what came of it.

    The component of a birth is the newborn; its operator, parents and lineage are those of the candidate that was
    chosen, of the first where none was. What happened is undone where the same round of the organism ends in
    quarantine (see `census`).

    Parameters
    ----------
    events
        Decisions.
    censuses
        Those of the same organisms and rounds, whose trials say which births that were tried came true.
    """
    trials = {
        (value.organism, value.round, trial.slot): trial
        for value in values(censuses, Census)
        for trial in value.trials
    }
    rows = []
    for value in values(events, Decision):
        shared = {name: getattr(value, name) for name in ("organism", "round", "phase", "temperature")}
        filled = set()
        for birth in value.births:
            row = {name: getattr(birth, name) for name in _DECISIONS if hasattr(birth, name)}
            chosen = birth.proposals[0]
            if birth.tried:
                trial = trials.get((value.organism, value.round, birth.slot))
                pick = None if trial is None else trial.chosen
                row["happens"] = pick is not None
                if trial is not None and pick is not None:
                    chosen = birth.proposals[pick]
                    row |= {"operator": chosen.operator, "chosen": pick, "gain": trial.gains[pick]}
            if row["happens"]:
                filled.add(birth.slot)
            newborn = ComponentId(value.organism, value.round, birth.slot)
            row |= _names(newborn, chosen.lineage or newborn, chosen.parents)
            rows.append(shared | row | {"kind": "birth", "candidates": len(birth.proposals)})
        for death in value.deaths:
            row = {name: getattr(death, name) for name in _DECISIONS if hasattr(death, name)}
            row |= {"component": str(death.component), "parents": (), "slot": death.component.slot}
            row["happens"] = death.happens and (death.reason != ROOM or death.component.slot in filled)
            rows.append(shared | row | {"kind": "death"})
    return frame(rows, _DECISIONS)


def trials(events: Iterable[Event], censuses: Iterable[Event]) -> "pd.DataFrame":
    """One row per candidate of a birth that was tried: what it is made of, its gain, and whether it was born.

    Parameters
    ----------
    events, censuses
        As in `decisions`.
    """
    births = {
        (value.organism, value.round, birth.slot): birth
        for value in values(events, Decision)
        for birth in value.births
    }
    rows = []
    for value in values(censuses, Census):
        for trial in value.trials:
            birth = births[value.organism, value.round, trial.slot]
            for place, (proposal, gain) in enumerate(zip(birth.proposals, trial.gains, strict=True)):
                row: Row = {"organism": value.organism, "round": value.round, "slot": trial.slot}
                row |= {"candidate": place, "operator": proposal.operator, "loss": trial.loss}
                row |= {"parents": tuple(map(str, proposal.parents))}
                rows.append(row | {"gain": gain, "chosen": place == trial.chosen})
    return frame(rows, _TRIALS)


def outcomes(events: Iterable[Event]) -> "pd.DataFrame":
    """One row per competition for a cell, in the order in which they were held."""
    rows = []
    for value in values(events, Outcome):
        incumbent = None if value.incumbent is None else str(value.incumbent)
        row = _names(value.candidate.component, value.candidate.lineage, ())
        row |= {"round": value.candidate.round, "objective": value.candidate.objective, "cell": value.cell}
        row |= {"status": value.status, "incumbent": incumbent}
        rows.append(row | {"incumbent_objective": value.incumbent_objective})
    return frame(rows, _OUTCOMES)


def emitters(events: Iterable[Event]) -> "pd.DataFrame":
    """One row per chunk of children, from emissions, what came of them, and the competitions."""
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
                row = rows.setdefault(
                    (value.round, value.chunk), {"round": value.round, "chunk": value.chunk}
                )
                row |= {name: getattr(value, name) for name in ("scored", "useful", "mean_assay", "flops")}
                chunks |= {child.component: (value.round, value.chunk) for child in value.contenders}
            case Outcome(candidate, status) if status != "reject" and candidate.component in chunks:
                before = value.incumbent_objective
                row = rows[chunks[candidate.component]]
                row["won"] += 1
                row["gain"] += candidate.objective - (0.0 if before is None else before)
    return frame(list(rows.values()), _EMITTERS)


def children(events: Iterable[Event], measures: Sequence[str]) -> "pd.DataFrame":
    """One row per child that could win a cell; raw measures by name, genes as ``gene_<name>``."""
    rows = [
        {"round": round, "emitter": emitter}
        | {name: getattr(child, name) for name in _CHILDREN if hasattr(child, name)}
        | _names(child.component, child.lineage, child.parents)
        | _by_measure(child.measures, measures)
        | _genes(child.genes)
        for round, emitter, child in _children(events)
    ]
    return frame(rows, _CHILDREN | _numbers(measures) | _gene_columns(rows))


def held_out(events: Iterable[Event], measures: Sequence[str]) -> "pd.DataFrame":
    """One row per elite and second look, on held-out examples; behaviours in the unit cube."""
    rows = [
        {"round": look.round, **{name: getattr(elite, name) for name in _HELD_OUT if name != "round"}}
        | _by_measure(elite.behaviour, measures)
        for look in values(events, HeldOut)
        for elite in look.elites
    ]
    return frame(rows, _HELD_OUT | _numbers(measures))


def elites(events: Iterable[Event], measures: Sequence[str], chunks: Iterable[Event] = ()) -> "pd.DataFrame":
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
    """
    made = {child.component: emitter for _, emitter, child in _children(chunks)}
    filled: dict[int, Row] = {}
    accepted = (value for value in values(events, Outcome) if value.status != "reject")
    for handle, value in enumerate(accepted):
        item = value.candidate
        row: Row = {"cell": value.cell, "handle": handle, "depth": item.depth, "round": item.round}
        row |= {"objective": item.objective, "genome": item.genome} | _genes(item.genes)
        row |= _names(item.component, item.lineage, item.parents) | {"emitter": made.get(item.component)}
        filled[value.cell] = row | _by_measure(item.behaviour, measures)
    rows = [filled[cell] for cell in sorted(filled)]
    return frame(rows, _ELITES | _numbers(measures) | _gene_columns(rows))


def _children(events: Iterable[Event]) -> Iterator[tuple[int, str, Child]]:
    """Yield round, emitter and every child that could win, from emissions and what came of them."""
    names: dict[tuple[int, int], str] = {}
    for value in map(value_of, events):
        if isinstance(value, Emission):
            names[value.round, value.chunk] = value.emitter
        elif isinstance(value, Emitted):
            for child in value.contenders:
                yield value.round, names.get((value.round, value.chunk), ""), child


def validity(verdicts: Iterable[tuple[int, Mapping[str, Any]]], measures: Sequence[str]) -> "pd.DataFrame":
    """One row per verdict on the behaviour space, given with its round; 0 is calibration.

    Measures of sampling adequacy are ``msa_<measure>``, correlations ``correlation_<measure>_<measure>``.
    """
    rows = [_verdict(round, value, measures) for round, value in verdicts]
    numbers = ["kmo", "kmo_low", "kmo_high", *(f"msa_{name}" for name in measures), *_VERDICT[1:]]
    pairs = [f"correlation_{first}_{second}" for first, second in combinations(measures, 2)]
    columns = {"round": "int64", "status": "object"} | _numbers([*_SIZES, *numbers, *pairs])
    return frame(rows, columns | {"reasons": "object"})


def timings(items: Iterable[Timing]) -> "pd.DataFrame":
    """One row per duration in seconds; organism is NaN for what the whole run did."""
    return frame([{name: getattr(item, name) for name in _TIMINGS} for item in items], _TIMINGS)


def frame(rows: Sequence[Row], columns: Columns) -> "pd.DataFrame":
    """Build a frame with these columns and types; what a row lacks is NaN or None."""
    import pandas as pd

    table = {name: pd.Series([row.get(name) for row in rows], dtype=kind) for name, kind in columns.items()}
    return pd.DataFrame(table, columns=list(columns))


def _kind(values: Sequence[Any]) -> str:
    if any(isinstance(value, (str, tuple)) for value in values):
        return "object"
    return "int64" if all(type(value) is int for value in values) else "float64"


def _summary(value: Mapping[str, Any], measures: Sequence[str]) -> Row:
    row: Row = {}
    for name, entry in value.items():
        if name == "kind":
            continue
        if name in _PER_MEASURE:
            row |= _by_measure(entry, measures, f"{name}_")
        elif isinstance(entry, list):
            row[name] = tuple(entry)
        else:
            row[name] = NON_FINITE.get(entry, entry) if isinstance(entry, str) else entry
    return row


def _verdict(round: int, value: Mapping[str, Any], measures: Sequence[str]) -> Row:
    low, high = value.get("kmo_interval") or (None, None)
    msa: Sequence[Any] = value.get("msa") or [None] * len(measures)
    row: Row = {"round": round, "status": value.get("status"), "reasons": tuple(value.get("reasons", ()))}
    row |= {name: _optional(value.get(name)) for name in (*_SIZES, *_VERDICT)}
    row |= {"kmo_low": _optional(low), "kmo_high": _optional(high)}
    row |= _by_measure([_optional(item) for item in msa], measures, "msa_")
    matrix = value.get("correlations")
    if matrix is not None:
        rows = _by_measure(matrix, measures)
        for first, second in combinations(measures, 2):
            row[f"correlation_{first}_{second}"] = _optional(_by_measure(rows[first], measures)[second])
    return row


def _by_measure(values: Sequence[Any], measures: Sequence[str], prefix: str = "") -> Row:
    if len(values) != len(measures):
        raise JournalError(
            f"the journal has {len(values)} measures and the configuration names {len(measures)}: "
            f"{', '.join(measures)}; restore the configuration from a copy"
        )
    return {f"{prefix}{name}": value for name, value in zip(measures, values, strict=True)}


def _optional(value: float | str | None) -> float:
    return math.nan if value is None else number(value)


def _names(component: ComponentId, lineage: ComponentId, parents: Sequence[ComponentId]) -> Row:
    return {"component": str(component), "lineage": str(lineage), "parents": tuple(map(str, parents))}


def _genes(genes: Genes) -> Row:
    return {f"{_GENE}{name}": value for name, value in genes}


def _gene_columns(rows: Iterable[Row]) -> dict[str, str]:
    return _numbers(sorted({name for row in rows for name in row if name.startswith(_GENE)}))


def _numbers(names: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(names, "float64")
