"""Frames of organisms and their components: censuses, records, births and deaths, trials, shadows."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from archive_store.frames.table import (
    USAGE,
    Row,
    by_measure,
    frame,
    gene_columns,
    named,
    numeric,
    of_genes,
    optional,
)
from archive_store.journal.chain import Event
from archive_store.journal.values import values
from qd.lifecycle.trial import ROOM
from qd.records import Census, ComponentId, Decision, Shadow

if TYPE_CHECKING:
    import pandas as pd

_CENSUS = {
    "organism": "int64", "round": "int64", "loss": "float64", "probe_loss": "float64",
    "validation_loss": "float64", "validation_score": "float64", "step": "int64", "alive": "int64",
    "test_loss": "float64", "test_score": "float64", "state": "object", "quarantine": "object",
    "test_metrics": "object", "memory": "float64",
}  # fmt: skip
RECORDS = {
    "organism": "int64", "round": "int64", "slot": "int64", "born": "int64", "component": "object",
    "lineage": "object", "parents": "object", "depth": "int64", "age": "int64", "assay": "float64",
    "assay_lower": "float64", "ablation": "float64", "gradient": "float64", "flops": "float64",
    "bytes": "float64", "genome": "object", "load": "float64",
    "home_effective_rank": "float64", "home_coherence": "float64", "home_correlation": "float64",
    "worth": "float64",
}  # fmt: skip
_DECISIONS = {
    "organism": "int64", "round": "int64", "kind": "object", "slot": "int64", "component": "object",
    "parents": "object", "probability": "float64", "draw": "float64", "happens": "bool", "phase": "object",
    "temperature": "float64", "operator": "object", "z": "float64", "arm": "object", "lineage": "object",
    "objective": "float64", "threshold": "float64", "sigma": "float64", "reason": "object",
    "candidates": "float64", "chosen": "float64", "gain": "float64", "strength": "float64",
}  # fmt: skip
_TRIALS = {
    "organism": "int64", "round": "int64", "slot": "int64", "candidate": "int64", "operator": "object",
    "parents": "object", "loss": "float64", "gain": "float64", "strength": "float64",
    "chosen": "bool",
}  # fmt: skip

_LOSSES = ("at_birth", "after_1", "after_5")
_SHADOWS = {
    "organism": "int64", "round": "int64", "slot": "int64", "material": "object",
    **numeric([*_LOSSES, *(f"gain_{name}" for name in _LOSSES)]),
}  # fmt: skip


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
            row = {name: getattr(item, name) for name in RECORDS if hasattr(item, name)}
            row |= {"organism": value.organism, "round": value.round, "born": item.component.born}
            row |= {"slot": item.component.slot, **named(item.component, item.lineage, item.parents)}
            row |= {f"{USAGE}{name}": share for name, share in item.usage}
            rows.append(row | by_measure(item.measures, measures) | of_genes(item.genes))
    kinds = dict.fromkeys(name for row in rows for name in row if name.startswith(USAGE))
    return frame(rows, RECORDS | numeric(measures) | gene_columns(rows) | numeric(kinds))


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
                    strength = trial.strengths[pick] if trial.strengths else 1.0
                    row |= {"operator": chosen.operator, "chosen": pick}
                    row |= {"gain": trial.gains[pick], "strength": strength}
            if row["happens"]:
                filled.add(birth.slot)
            newborn = ComponentId(value.organism, value.round, birth.slot)
            row |= named(newborn, chosen.lineage or newborn, chosen.parents)
            rows.append(shared | row | {"kind": "birth", "candidates": len(birth.proposals)})
        for death in value.deaths:
            row = {name: getattr(death, name) for name in _DECISIONS if hasattr(death, name)}
            row |= {"component": str(death.component), "parents": (), "slot": death.component.slot}
            row["happens"] = death.happens and (death.reason != ROOM or death.component.slot in filled)
            rows.append(shared | row | {"kind": "death"})
    return frame(rows, _DECISIONS)


def trials(events: Iterable[Event], censuses: Iterable[Event]) -> "pd.DataFrame":
    """One row per candidate of a birth that was tried: what it is made of, its gain and strength, whether it was born.

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
            strengths = trial.strengths or (1.0,) * len(trial.gains)
            told = zip(birth.proposals, trial.gains, strengths, strict=True)
            for place, (proposal, gain, strength) in enumerate(told):
                row: Row = {"organism": value.organism, "round": value.round, "slot": trial.slot}
                row |= {"candidate": place, "operator": proposal.operator, "loss": trial.loss}
                row |= {"parents": tuple(map(str, proposal.parents))}
                rows.append(row | {"gain": gain, "strength": strength, "chosen": place == trial.chosen})
    return frame(rows, _TRIALS)


def shadows(found: Iterable[Shadow]) -> "pd.DataFrame":
    """One row per shadow of a birth: the material in the newborn's place, and the validation loss that came of it.

    A gain is by how much lower the loss is than that of the shadow with nothing in the place.
    """
    rows: list[Row] = []
    empty: dict[tuple[int, int, int], Row] = {}
    for each in sorted(found, key=lambda each: (each.round, each.organism, each.slot, each.material)):
        row: Row = {name: getattr(each, name) for name in _SHADOWS if hasattr(each, name)}
        row |= {name: optional(row[name]) for name in _LOSSES}
        rows.append(row)
        if each.material == "empty":
            empty[each.organism, each.round, each.slot] = row
    for row in rows:
        beside = empty.get((row["organism"], row["round"], row["slot"]), {})
        row |= {f"gain_{name}": beside.get(name, math.nan) - row[name] for name in _LOSSES}
    return frame(rows, _SHADOWS)
