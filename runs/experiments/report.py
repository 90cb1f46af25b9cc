"""A comparison of arms as text or JSON: a block for each metric, a line for each arm."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from analysis.statistics.intervals import Estimate
from archive_store.frames.notebook import table as html_table
from archive_store.shown import shown
from runs.experiments.comparison import Results, Row, compared
from runs.experiments.further import profiles
from runs.experiments.results import METRICS, Metric, labels

NOTE = (
    "In brackets: 95 % bootstrap intervals over seeds, each by itself: of 20 differences between equal arms, one is\n"
    "shown by chance. Differences are those of pairs of one seed. P: probability that a run of the arm is better."
)
NAME, VALUE = 60, 80  # characters that are shown


@dataclass(frozen=True, slots=True)
class Study:
    """What was asked of runs beside the arms: alternatives that are compared by metrics of their own."""

    name: str
    title: str
    alternatives: Results  # by name, seed and metric
    against: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What is compared."""

    where: str  # the experiment, or how many runs
    arms: Mapping[str, Mapping[str, Any]]  # settings by key path
    against: str  # the arm that the others are compared with
    score: str  # what the task's score is called
    results: Results
    notes: tuple[str, ...] = ()
    studies: tuple[Study, ...] = ()

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
        "profiles": profiles.as_plain(report.results),
        "studies": {study.name: _plain_study(study) for study in report.studies},
    }


def table(report: Report) -> str:
    """Return a report as text."""
    runs = sum(map(len, report.results.values()))
    seeds = sorted({seed for found in report.results.values() for seed in found})
    head = [
        ("experiment", f"{report.where}: {len(report.arms)} arms, {len(seeds)} seeds, {runs} finished runs")
    ]
    head += [(f"arm {shown(name, NAME)}", told(settings)) for name, settings in report.arms.items()]
    width = max(len(label) for label, _ in head)
    lines = [f"{label:<{width}}  {value}" for label, value in head]
    return "\n".join(
        [
            *lines,
            *(f"note: {note}" for note in report.notes),
            "",
            *_blocks(report.results, report.against, METRICS, labels(report.score)),
            *_profiled(report),
            *(line for study in report.studies for line in _studied(study)),
            "",
            NOTE,
        ]
    )


def as_html(report: Report) -> str:
    """Return a report as a notebook shows it: a table for each metric that was measured."""
    called = labels(report.score)
    heads, digits = ("arm", *columns(report.against), "remark"), {each.name: each.digits for each in METRICS}
    parts = [html_table(("arm", "settings"), [(name, told(each)) for name, each in report.arms.items()])]
    for metric, group in groupby(compared(report.results, report.against), key=lambda row: row.metric):
        own = [line(row, digits[metric]) for row in group if row.mean is not None]
        rows = [[*(cell.strip() for cell in cells), *[""] * (len(heads) - len(cells))] for cells in own]
        parts += [html_table(heads, rows, called[metric])] if rows else []
    return "\n".join([*parts, html_table((), [(note,) for note in (*report.notes, " ".join(NOTE.split()))])])


def told(settings: Mapping[str, Any]) -> str:
    """Return what an arm changes, as a text."""
    texts = (shown(f"{key}={value}", VALUE) for key, value in settings.items())
    return ", ".join(texts) or "nothing is changed"


def _plain_study(study: Study) -> dict[str, Any]:
    rows = compared(study.alternatives, study.against, study.metrics)
    return {
        "title": study.title,
        "against": study.against,
        "results": {
            name: {str(seed): dict(found) for seed, found in runs.items()}
            for name, runs in study.alternatives.items()
        },
        "comparison": [asdict(row) for row in rows],
    }


def _blocks(
    results: Results, against: str, metrics: Sequence[Metric], called: Mapping[str, str]
) -> list[str]:
    lines: list[tuple[str, ...]] = [("", *columns(against))]
    missing = []
    for metric, own in blocks(results, against, metrics):
        if all(row.mean is None for row in own):
            missing += [called[metric.name]] if metric.named else []
            continue
        lines.append((called[metric.name],))
        lines += [line(row, metric.digits) for row in own]
    text = _columns(lines)
    return [*text, f"not measured: {', '.join(missing)}"] if missing else text


def blocks(results: Results, against: str, metrics: Sequence[Metric]) -> list[tuple[Metric, list[Row]]]:
    """Return the rows of each metric, an arm a row.

    Parameters
    ----------
    results
        What each run came to.
    against
        The arm that the others are compared with.
    metrics
        What is compared.
    """
    by_name = {metric.name: metric for metric in metrics}
    grouped = groupby(compared(results, against, metrics), key=lambda row: row.metric)
    return [(by_name[name], list(rows)) for name, rows in grouped]


def _profiled(report: Report) -> list[str]:
    """Return the shares of seeds above the quartiles of all runs, a block for each metric that has profiles."""
    lines = []
    for metric, called in profiles.PROFILED.items():
        thresholds = profiles.quartiles(report.results, metric)
        found = profiles.profiles(report.results, metric, thresholds)
        if not found:
            continue
        lines += ["", f"share of seeds above a {called.format(score=report.score)}"]
        rows = [("", *(f"above {threshold:.4f}" for threshold in thresholds))]
        rows += [
            (f"  {shown(arm, NAME)}", *(written(each, ".2f") for each in profiles.cells(profile)))
            for arm, profile in found.items()
        ]
        lines += _columns(rows)
    return lines


def _studied(study: Study) -> list[str]:
    called = {metric.name: metric.label for metric in study.metrics}
    return ["", study.title, *_blocks(study.alternatives, study.against, study.metrics, called)]


def _columns(lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows of cells as aligned text; a row of one cell is a heading, and what follows six cells a remark."""
    count = min(6, max(map(len, lines)))
    widths = [
        max((len(cells[place]) for cells in lines if len(cells) > max(1, place)), default=0)
        for place in range(count)
    ]
    return [_aligned(cells, widths) for cells in lines]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    if len(cells) == 1:
        return cells[0]
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
    return "  ".join([*padded, *cells[len(widths) :]]).rstrip()


def columns(against: str) -> tuple[str, ...]:
    """Return what the columns of a comparison are called, after the one that names the arms."""
    return "seeds", "mean", "interquartile mean", f"difference from {against}", "P"


def line(row: Row, digits: str) -> tuple[str, ...]:
    """Return an arm by one metric as texts: its name, indented, and the `columns`; a remark may come after them."""
    name = f"  {shown(row.arm, NAME)}"
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
