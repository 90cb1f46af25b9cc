"""The page of an experiment's folder: what its arms came to, with links to the pages of its runs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from archive_store import inside
from archive_store.run_directory import RunDirectory
from runs.experiments.comparison import Results, Row
from runs.experiments.folder import ExperimentFolder
from runs.experiments.further import degradation
from runs.experiments.further.asked import studies, with_kept
from runs.experiments.further.profiles import drawn
from runs.experiments.plan import Plan
from runs.experiments.reading import Found, courses_in, found_in
from runs.experiments.report import NOTE, blocks, columns, line, told
from runs.experiments.results import METRICS, Metric, labels

if TYPE_CHECKING:
    from analysis.report.blocks import Cell


def page(folder: ExperimentFolder, plan: Plan, against: str, beside: Path) -> bytes:
    """Return the page of an experiment, whether it is finished or not.

    Parameters
    ----------
    folder, plan
        The experiment.
    against
        The arm that the others are compared with.
    beside
        The folder that the page will lie in, from which its links lead.

    Raises
    ------
    StoreError, RunError
        If a run is damaged.
    """
    from analysis.report.experiment import Compared, page_of_experiment

    any_finished = any(map(folder.done, plan.cells))
    found = found_in(folder, plan) if any_finished else Found({}, "score", tuple(map(str, plan.cells)))
    results = with_kept(found.results, folder, against) if any_finished else {}
    return page_of_experiment(
        Compared(
            name=plan.name,
            seeds=plan.seeds,
            score=found.score,
            arms={arm.name: told(arm.settings) for arm in plan.arms},
            cells={
                arm.name: {seed: _cell(folder, arm.name, seed, beside) for seed in plan.seeds}
                for arm in plan.arms
            },
            columns=("arm", *columns(against), "remark"),
            metrics=dict(_metrics(results, against, METRICS, labels(found.score))),
            studies={
                study.title: (
                    ("rule", *columns(study.against), "remark"),
                    dict(
                        _metrics(
                            study.alternatives,
                            study.against,
                            study.metrics,
                            {metric.name: metric.label for metric in study.metrics},
                        )
                    ),
                )
                for study in studies(folder, plan, plan.also)
            },
            notes=(*plan.notes, *found.notes, *((" ".join(NOTE.split()),) if results else ())),
            profiles=drawn(results, found.score),
            degraded=degradation.curves(degradation.kept(folder), plan),
            plan=inside.read(folder.path, folder.plan_path, inside.LARGEST_TEXT).decode("utf-8", "replace"),
        ),
        courses_in(folder, plan),
    )


def _metrics(
    results: Results, against: str, metrics: Sequence[Metric], called: Mapping[str, str]
) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Yield each metric that any arm has, by what it is called, and a row for each arm."""
    for metric, own in blocks(results, against, metrics) if results else []:
        if any(row.mean is not None for row in own):
            yield called[metric.name], [_padded(row, against, metric) for row in own]


def _padded(row: Row, against: str, metric: Metric) -> tuple[str, ...]:
    cells = tuple(text.strip() for text in line(row, metric.digits))
    return (*cells, *[""] * (len(columns(against)) + 2 - len(cells)))


def _cell(folder: ExperimentFolder, arm: str, seed: int, beside: Path) -> "Cell":
    """Return how far a run is, as a link to its page, or to its folder where it has no page yet."""
    from analysis.report.blocks import Link

    path = folder.cell(arm, seed)
    if not path.is_dir():
        return "not begun"
    directory = RunDirectory.open(path)
    with directory.journal() as journal:
        rounds = journal.last_round() or 0
    state = "finished" if directory.finished() else "not finished"
    to = directory.report_path if directory.report_path.is_file() else path
    return Link(f"{arm}, seed {seed}: {rounds} rounds, {state}", quote(os.path.relpath(to, beside)))
