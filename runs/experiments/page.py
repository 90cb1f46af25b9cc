"""The page of an experiment's folder: what its arms came to, with links to the pages of its runs."""

import os
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from archive_store import inside
from archive_store.run_directory import RunDirectory
from runs.experiments.comparison import Results, compared
from runs.experiments.folder import ExperimentFolder
from runs.experiments.plan import Plan
from runs.experiments.reading import Found, courses_in, found_in
from runs.experiments.report import NOTE, columns, line, told
from runs.experiments.results import labels
from runs.experiments.speed import kept, ratios, with_speed

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
    results = with_speed(found.results, ratios(kept(folder), against)) if any_finished else {}
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
            metrics=dict(_metrics(results, against, found.score)),
            notes=(*plan.notes, *found.notes, *((" ".join(NOTE.split()),) if results else ())),
            plan=inside.read(folder.path, folder.plan_path, inside.LARGEST_TEXT).decode("utf-8", "replace"),
        ),
        courses_in(folder, plan),
    )


def _metrics(results: Results, against: str, score: str) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Yield each metric that any arm has, by what it is called, and a row for each arm."""
    called: Mapping[str, str] = labels(score)
    rows = compared(results, against) if results else []
    for metric, group in groupby(rows, key=lambda row: row.metric):
        own = list(group)
        if any(row.mean is not None for row in own):
            width = len(columns(against)) + 2
            cells = [tuple(text.strip() for text in line(row)) for row in own]
            yield called[metric], [(*each, *[""] * (width - len(each))) for each in cells]


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
