"""An experiment read back: what its finished runs came to, how they went on, and which are not finished."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archive_store.journal.journal import SCORE_NAME
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from archive_store.shown import shown
from runs.errors import RunError
from runs.experiments.comparison import Results
from runs.experiments.folder import ExperimentFolder
from runs.experiments.plan import Plan, Task
from runs.experiments.results import course_of, results_of

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


MOST_NAMED = 5  # runs that are not finished


@dataclass(frozen=True, slots=True)
class Found:
    """The finished runs of an experiment."""

    results: Results
    score: str  # what the task's score is called
    unfinished: tuple[str, ...]  # arm and seed

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence that names what is not finished, if anything is."""
        named = "; ".join(self.unfinished[:MOST_NAMED])
        more = f" and {len(self.unfinished) - MOST_NAMED} more" if len(self.unfinished) > MOST_NAMED else ""
        return (f"not finished: {named}{more}",) if self.unfinished else ()


def found_in(folder: ExperimentFolder, plan: Plan) -> Found:
    """Read what the finished runs of an experiment came to.

    Raises
    ------
    RunError
        If none is finished yet.
    StoreError
        If one is damaged.
    """
    paths = _finished(folder, plan)
    results = results_of(paths)
    first = next((path for runs in paths.values() for path in runs.values()), None)
    if first is None:
        raise RunError(f"no run of {folder.path} is finished yet; look again later")
    return Found(results, score_of(first), tuple(str(task) for task in plan.cells if not folder.done(task)))


def courses_in(folder: ExperimentFolder, plan: Plan) -> dict[str, list["pd.DataFrame"]]:
    """Read how the finished runs of each arm went on, a frame a seed."""
    return {
        arm: [course_of(open_run(path)) for path in runs.values()]
        for arm, runs in _finished(folder, plan).items()
    }


def score_of(run: "Path") -> str:
    """Return what the score of a run's task is called."""
    with RunDirectory.open(run).journal() as journal:
        return shown(journal.meta(SCORE_NAME) or "score", 60)


def _finished(folder: ExperimentFolder, plan: Plan) -> Mapping[str, Mapping[int, "Path"]]:
    return {
        arm.name: {
            seed: folder.cell(arm.name, seed)
            for seed in plan.seeds
            if folder.done(Task("cell", arm.name, seed))
        }
        for arm in plan.arms
    }
