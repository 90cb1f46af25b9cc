"""A comparison of arms as text or JSON: a block for each metric, a line for each arm."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from analysis.statistics.intervals import Estimate
from archive_store.frames.notebook import table as html_table
from archive_store.shown import shown
from runs.experiments.comparison import Results, Row, compared
from runs.experiments.results import METRICS, labels

NOTE = (
    "In brackets: 95 % bootstrap intervals over seeds, each by itself: of 20 differences between equal arms, one is\n"
    "shown by chance. Differences are those of pairs of one seed. P: probability that a run of the arm is better."
)
NAME, VALUE = 60, 80  # characters that are shown
_DIGITS = {metric.name: metric.digits for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Report:
    """What is compared."""

    where: str  # the experiment, or how many runs
    arms: Mapping[str, Mapping[str, Any]]  # settings by key path
    against: str  # the arm that the others are compared with
    score: str  # what the task's score is called
    results: Results
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return as_html(self)


def as_plain(report: Report) -> dict[str, Any]:
    """Return a report as JSON has it; what is not known is null."""
    return {
        "experiment": report.where,
        "score": report.score,
        "against": report.against,
        "arms": {
            name: {"settings": dict(settings), "seeds": sorted(report.results[name])}
            for name, settings in report.arms.items()
        },
        "notes": list(report.notes),
        "results": {
            arm: {str(seed): dict(found) for seed, found in runs.items()}
            for arm, runs in report.results.items()
        },
        "comparison": [asdict(row) for row in compared(report.results, report.against)],
    }


def table(report: Report) -> str:
    """Return a report as text."""
    rows = compared(report.results, report.against)
    runs = sum(map(len, report.results.values()))
    seeds = sorted({seed for found in report.results.values() for seed in found})
    head = [
        ("experiment", f"{report.where}: {len(report.arms)} arms, {len(seeds)} seeds, {runs} finished runs")
    ]
    head += [(f"arm {shown(name, NAME)}", told(settings)) for name, settings in report.arms.items()]
    width = max(len(label) for label, _ in head)
    lines = [f"{label:<{width}}  {value}" for label, value in head]
    return "\n".join(
        [*lines, *(f"note: {note}" for note in report.notes), "", *_blocks(rows, report), "", NOTE]
    )


def as_html(report: Report) -> str:
    """Return a report as a notebook shows it: a table for each metric that was measured."""
    called = labels(report.score)
    heads = ("arm", *columns(report.against), "remark")
    parts = [html_table(("arm", "settings"), [(name, told(each)) for name, each in report.arms.items()])]
    for metric, group in groupby(compared(report.results, report.against), key=lambda row: row.metric):
        own = [line(row) for row in group if row.mean is not None]
        rows = [[*(cell.strip() for cell in cells), *[""] * (len(heads) - len(cells))] for cells in own]
        parts += [html_table(heads, rows, called[metric])] if rows else []
    return "\n".join([*parts, html_table((), [(note,) for note in (*report.notes, " ".join(NOTE.split()))])])


def told(settings: Mapping[str, Any]) -> str:
    """Return what an arm changes, as a text."""
    texts = (shown(f"{key}={value}", VALUE) for key, value in settings.items())
    return ", ".join(texts) or "nothing is changed"


def _blocks(rows: Sequence[Row], report: Report) -> list[str]:
    called = labels(report.score)
    lines: list[tuple[str, ...]] = [("", *columns(report.against))]
    missing = []
    for metric, group in groupby(rows, key=lambda row: row.metric):
        own = list(group)
        if all(row.mean is None for row in own):
            missing.append(called[metric])
            continue
        lines.append((called[metric],))
        lines += [line(row) for row in own]
    widths = [max(len(cells[place]) for cells in lines if len(cells) > 1) for place in range(6)]
    text = [_aligned(cells, widths) for cells in lines]
    return [*text, f"not measured: {', '.join(missing)}"] if missing else text


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    if len(cells) == 1:
        return cells[0]
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
    return "  ".join([*padded, *cells[len(widths) :]]).rstrip()


def columns(against: str) -> tuple[str, ...]:
    """Return what the columns of a comparison are called, after the one that names the arms."""
    return "seeds", "mean", "interquartile mean", f"difference from {against}", "P"


def line(row: Row) -> tuple[str, ...]:
    """Return an arm by one metric as texts: its name, indented, and the `columns`; a remark may come after them."""
    digits, name = _DIGITS[row.metric], f"  {shown(row.arm, NAME)}"
    if row.mean is None or row.interquartile_mean is None:
        return name, "0", "not measured", "", "", ""
    own = (name, f"{row.seeds}", written(row.mean, digits), written(row.interquartile_mean, digits))
    found = row.difference
    if found is None:
        return *own, "", ""
    better = "" if found.improvement is None else written(found.improvement, ".2f")
    said = {None: "interval not available", False: "no difference shown", True: ""}[found.shown]
    return *own, written(found.mean, f"+{digits}"), better, said


def written(estimate: Estimate, digits: str) -> str:
    """Return an estimate as ``0.98 [0.97, 0.99]``, or without an interval where there is none."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{digits}}"
    return f"{estimate.value:{digits}} [{estimate.low:{digits}}, {estimate.high:{digits}}]"
