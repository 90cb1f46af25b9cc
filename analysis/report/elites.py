"""The elites of a run as the page's script draws them: where they are, what they are, and whom they descend from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.lineage import nodes
from analysis.report.values import numbers, plain
from qd.measures import DESCRIPTIONS, Ranges

MOST_EMPTY = 3000  # cells
MOST_ANCESTORS = 20_000
MOST_NAMES = 40  # genes, and kinds of examples
GENOME = 16  # characters of a genome's digest, which name it
_OF_RECORDS = ("age", "load", "assay", "assay_lower", "ablation", "flops")
_USAGE = "usage_"


def elites_data(
    elites: pd.DataFrame,
    held_out: pd.DataFrame,
    records: pd.DataFrame,
    children: pd.DataFrame,
    centroids: np.ndarray,
    measures: Sequence[str],
    ranges: Ranges,
    most: int,
) -> dict[str, Any]:
    """Return all that the page says of elites, the best first.

    Parameters
    ----------
    elites, held_out, records, children
        Frames of the run.
    centroids
        Of its cells, [cells, p] for p measures, in the unit cube.
    measures, ranges
        Names of the measures, and their calibrated ranges.
    most
        How many elites to return.
    """
    ranked = elites.sort_values(["objective", "cell"], ascending=[False, True]).head(most)
    known = _records(ranked, records, children)
    genes = [name for name in ranked.columns if name.startswith("gene_")][:MOST_NAMES]
    usage = [name for name in known.columns if name.startswith(_USAGE)][:MOST_NAMES]
    filled = np.zeros(len(centroids), dtype=bool)
    filled[elites["cell"].to_numpy(dtype=np.int64)] = True
    return {
        "filled": len(elites),
        "cells": len(centroids),
        "measures": [_measure(name, place, ranges) for place, name in enumerate(measures)],
        "empty": plain(centroids[~filled][:MOST_EMPTY].round(3)),
        "places": [numbers(row) for row in ranked[list(measures)].to_numpy(dtype=np.float64).round(4)],
        "names": plain(ranked["component"]),
        "lineages": plain(ranked["lineage"]),
        "emitters": [each if isinstance(each, str) else None for each in plain(ranked["emitter"])],
        "genomes": [each[:GENOME] for each in plain(ranked["genome"])],
        "numbers": {
            **{name: numbers(ranked[name]) for name in ("objective", "cell", "round", "depth", "tries")},
            "held_out": numbers(_held_out(ranked, held_out)),
            **{name: numbers(known[name]) for name in _OF_RECORDS},
        },
        "genes": {plain(name.removeprefix("gene_")): numbers(ranked[name]) for name in genes},
        "usage": {plain(name.removeprefix(_USAGE)): numbers(known[name]) for name in usage},
        "ancestors": _ancestors(plain(ranked["component"]), records, children),
    }


def _measure(name: str, place: int, ranges: Ranges) -> dict[str, Any]:
    unit = DESCRIPTIONS[name].unit if name in DESCRIPTIONS else ""
    return {
        "name": plain(name.replace("_", " ")),
        "unit": unit,
        "low": plain(ranges.low[place]),
        "high": plain(ranges.high[place]),
    }


def _records(ranked: pd.DataFrame, records: pd.DataFrame, children: pd.DataFrame) -> pd.DataFrame:
    """Return what was recorded of each elite when it was measured: of those that lived and of children of emitters."""
    usage = [name for name in records.columns if name.startswith(_USAGE) and records[name].notna().any()]
    columns = [*_OF_RECORDS, *usage]
    parts = [part.reindex(columns=["component", "round", *columns]) for part in (records, children)]
    filled = [part for part in parts if len(part)]
    keys = ["component", "round"]
    found = pd.concat(filled) if filled else parts[0]
    wanted = pd.MultiIndex.from_frame(ranked[keys].astype({"component": object, "round": np.int64}))
    known = found.drop_duplicates(keys).set_index(keys)
    return known.reindex(wanted).reset_index(drop=True)


def _held_out(ranked: pd.DataFrame, held_out: pd.DataFrame) -> pd.Series:
    """Return the objective of each elite at the last second look, if it was there then."""
    if held_out.empty:
        return pd.Series(np.nan, index=ranked.index)
    last = held_out[held_out["round"] == held_out["round"].max()]
    objectives = last.drop_duplicates("cell").set_index("cell")["objective"]
    return ranked["cell"].map(objectives).where(ranked["round"] <= last["round"].iloc[0])


def _ancestors(
    components: Sequence[str], records: pd.DataFrame, children: pd.DataFrame
) -> Mapping[str, list[Any]]:
    """Return the elites and their ancestors, nearest generations first: round of birth, then parents."""
    known = nodes(records, children)
    found: dict[str, list[Any]] = {}
    pending = list(components)
    for name in pending:  # grows while it is read
        if name in found or name not in known or len(found) >= MOST_ANCESTORS:
            continue
        node = known[name]
        found[name] = [node.born, *node.parents]
        pending += node.parents
    return found
