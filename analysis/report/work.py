"""Who did what in a run: what emitters made and brought, and where the time went."""

import pandas as pd

from analysis.report.blocks import Block, Table, Text
from analysis.report.course import chart
from analysis.report.values import numbers, plain, thinned, written

MOST_NAMES = 100  # rows of a table, and
MOST_SERIES = 20  # emitters in a chart


def emitters(chunks: pd.DataFrame) -> list[Block]:
    """Return a table of the emitters and a chart of what each has added to the QD score.

    Parameters
    ----------
    chunks
        The run's frame of emitters, a row a chunk of children.
    """
    if chunks.empty:
        return [Text("No emitter made children.")]
    counted = ("children", "scored", "useful", "won")
    rows, series = [], []
    for name, part in chunks.groupby("emitter", sort=False):
        counts = (written(int(part[column].sum())) for column in counted)
        told = (written(part["gain"].sum(), ".3f"), written(part["flops"].sum(), ".3g"))
        rows.append((str(plain(name)), *counts, *told))
        gains = thinned(part.groupby("round")["gain"].sum().cumsum().reset_index())
        series.append({"name": plain(name), "x": numbers(gains["round"]), "y": numbers(gains["gain"])})
    columns = (
        "emitter",
        "children",
        "scored",
        "useful",
        "cells won",
        "gain of the QD score",
        "counted FLOPs",
    )
    return [
        Table("What emitters made and brought", columns, rows),
        chart("Gain of the QD score so far", "sum of gains", series[:MOST_SERIES]),
    ]


def timings(times: pd.DataFrame) -> list[Block]:
    """Return tables of the time that was measured: by what was done, and by who did it.

    Parameters
    ----------
    times
        The run's frame of timings.
    """
    if times.empty:
        return [Text("No time was measured.")]
    return [_summed(times, "name", "Time by what was done"), _summed(times, "worker", "Time by who did it")]


def _summed(times: pd.DataFrame, column: str, caption: str) -> Table:
    totals = times.groupby(column)["seconds"].agg(["size", "sum", "mean", "max"])
    ranked = totals.sort_values("sum", ascending=False, kind="stable").head(MOST_NAMES)
    rows = [
        (
            str(plain(name)),
            written(int(row["size"])),
            *(written(row[each], ".3f") for each in ("sum", "mean", "max")),
        )
        for name, row in ranked.iterrows()
    ]
    return Table(caption, (column, "times", "seconds in all", "mean", "longest"), rows)
