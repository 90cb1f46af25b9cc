"""The verdict on the behaviour space: whether the measures are fit to span one, and why not, at every check."""

from typing import Any

import pandas as pd

from analysis.report.blocks import Block, Table, Text
from analysis.report.course import chart, lines
from analysis.report.markup import LONGEST_CELL
from analysis.report.values import numbers, plain, thinned, written
from analysis.validity import correlation_matrix
from archive_store.shown import shown
from qd.validity.findings import KMO_STOP, KMO_WARN, LARGEST_CORRELATION


def verdicts(checks: pd.DataFrame) -> list[Block]:
    """Return what the checks found: the last verdict in a sentence, all of them as a table, and their figures.

    Parameters
    ----------
    checks
        The run's frame of validity, a row a check.
    """
    if checks.empty:
        return [Text("The behaviour space was not assessed.")]
    ordered = checks.sort_values("round")
    last = ordered.iloc[-1]
    told = [_sentence("At calibration", ordered.iloc[0])]
    if len(ordered) > 1:
        told.append(_sentence(f"At the last check, in round {int(last['round'])}", last))
    return [*map(Text, told), *_charts(ordered), _table(ordered), _correlations(ordered)]


def _sentence(when: str, check: "pd.Series[Any]") -> str:
    reasons = " ".join(f"{str(reason).rstrip('.')}." for reason in check["reasons"])
    return f"{when} the verdict is {plain(check['status'])}{f': {reasons}' if reasons else '.'}"


def _charts(ordered: pd.DataFrame) -> list[Block]:
    found: list[Block] = []
    known = thinned(ordered[ordered["kmo"].notna()])
    if len(known):
        band = {
            "name": "KMO and its 95 % interval",
            **{key: numbers(known[name]) for key, name in (("x", "round"), ("y", "kmo"))},
            **{key: numbers(known[f"kmo_{key}"]) for key in ("low", "high")},
        }
        limits = {"gate": KMO_STOP, "weak": KMO_WARN}
        found.append(chart("Sampling adequacy (KMO)", "share", [band], limits=limits))
    names = [str(name) for name in ordered.columns if str(name).startswith("msa_")]
    columns = {name: name.removeprefix("msa_").replace("_", " ") for name in names}
    singly = lines(ordered, columns, "Sampling adequacy of each measure", "share", limits={"gate": KMO_STOP})
    pairs = lines(
        ordered,
        {"largest_correlation": "largest correlation of two measures"},
        "Largest correlation",
        "size",
        limits={"gate": LARGEST_CORRELATION},
    )
    return [*found, *(each for each in (singly, pairs) if each is not None)]


def _table(ordered: pd.DataFrame) -> Table:
    columns = (
        "round",
        "verdict",
        "sample",
        "organisms",
        "KMO",
        "largest |r|",
        "effective dimension",
        "reasons",
    )
    rows = [
        (
            "calibration" if row["round"] == 0 else written(row["round"], ".0f"),
            str(plain(row["status"])),
            written(row["n"], ".0f"),
            written(row["organisms"], ".0f"),
            _interval(row),
            written(row["largest_correlation"], ".3f"),
            written(row["effective_dimension"], ".2f"),
            "\n".join(shown(reason, LONGEST_CELL) for reason in row["reasons"]) or "none",
        )
        for _, row in thinned(ordered, 100).iterrows()
    ]
    return Table("Checks of the behaviour space", columns, rows)


def _interval(row: "pd.Series[Any]") -> str:
    low, high = (plain(row[name]) for name in ("kmo_low", "kmo_high"))
    around = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return f"{written(row['kmo'], '.3f')}{around}"


def _correlations(ordered: pd.DataFrame) -> Table:
    matrix = correlation_matrix(ordered)
    names = [str(plain(name.replace("_", " "))) for name in matrix.columns]
    rows = [
        (name, *(written(value, ".2f") for value in row))
        for name, row in zip(names, matrix.to_numpy(), strict=True)
    ]
    return Table("Correlations of the measures at the last check", ("measure", *names), rows)
