"""The lineage tree of the best elites: a row for each of them and of their ancestors, from birth to last sight."""

from typing import Any

import pandas as pd

from analysis.lineage import best, nodes, order, pedigree
from analysis.report.blocks import Chart, Table
from analysis.report.values import listed, written


def descent(elites: pd.DataFrame, records: pd.DataFrame, children: pd.DataFrame) -> list[Chart | Table]:
    """Return the tree as a chart and, for those who read rather than look, as a table; nothing without elites.

    Parameters
    ----------
    elites, records, children
        Frames of the run.
    """
    chosen = best(elites)
    tree = pedigree(list(chosen["component"]), nodes(records, children))
    if not tree:
        return []
    objectives = dict(zip(chosen["component"], chosen["objective"], strict=True))
    names = order(tree)
    places = {name: place for place, name in enumerate(names)}
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "born": tree[name].born,
            "last": tree[name].last,
            "parents": [places[parent] for parent in tree[name].parents if parent in places],
            "objective": float(f"{objectives[name]:.6g}") if name in objectives else None,
        }
        for name in names
    ]
    said = (
        f"{len(objectives)} elites and their ancestors, each a line from the round of its birth to the last in which "
        "it was seen; the table below says the same."
    )
    table = Table(
        "The same as a table",
        ("component", "born in round", "last seen in round", "parents", "objective of the elite"),
        [
            (
                name,
                written(tree[name].born),
                written(tree[name].last),
                listed(tree[name].parents),
                written(objectives.get(name), ".4f"),
            )
            for name in names
        ],
    )
    return [Chart("descent", "Lineage of the best elites", said, {"rows": rows}), table]
