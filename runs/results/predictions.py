"""Predictions of a run's best organism for test examples, computed from the run's folder."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.pictures import predicted
from analysis.predictions import Forecast, Kind, Predictions
from analysis.rendering import NothingToDraw
from archive_store.journal.journal import SCORE_NAME, State
from archive_store.reading import Run
from runs.config.schema import Config
from runs.results import pictured
from runs.results.best import organism_of, world_of

if TYPE_CHECKING:
    from organisms.task import Task
    from runs.training.world import World

EXAMPLES = 3  # of each kind that are shown, the first of the test split


def picture(run: Run, figure: Any, own_code: bool = False) -> None:
    """Draw the predictions of a run into a figure.

    Parameters
    ----------
    run
        The run.
    figure
        A matplotlib figure.
    own_code
        Whether a task and a family that are given by import path may be imported.

    Raises
    ------
    NothingToDraw, RunError, StoreError
        As `predictions` raises them.
    """
    predicted(predictions(run, own_code), run, figure)


def predictions(run: Run, own_code: bool = False) -> Predictions:
    """Build the world of a run again and let its best organism predict the test split, on the CPU.

    It is the organism of the best validation score at the newest checkpoint.

    Parameters
    ----------
    own_code
        Whether a task and a family that are given by import path may be imported.

    Raises
    ------
    NothingToDraw
        If the task asks for no sequences of real numbers, if code of the user's own would have to be imported, or
        if no state of an organism is kept yet.
    RunError
        If the run's data or settings are not what they were, or what it keeps is of another version.
    StoreError
        If its files are damaged.
    """
    config = pictured.settings_of(run)
    if not _may_forecast(run, config):
        raise _no_sequences(run, config)
    if (named := pictured.own_code(config)) and not own_code:  # the run may be somebody else's
        raise NothingToDraw(
            f"predictions of {run.directory.path} need code of its own ({named}), which plot does not import; "
            "launch and resume do, and draw them in the end"
        )
    state = pictured.newest_state(run)
    world = world_of(run, config)
    if world.task.kind != "sequence":
        raise _no_sequences(run, config)
    return Predictions(state.organism, state.round, kinds(world.task, _outputs(run, world, state)))


def _may_forecast(run: Run, config: Config) -> bool:
    """Return whether the task may ask for sequences, without building it: no built-in one that reads a file does."""
    with run.directory.journal() as journal:
        score = journal.meta(SCORE_NAME)
    return score == "R2" and (config.task.path is None or ":" in config.task.name)


def _no_sequences(run: Run, config: Config) -> NothingToDraw:
    return NothingToDraw(
        f"{run.directory.path} has no predictions to draw: its task {config.task.name!r} asks for no sequences of "
        "real numbers"
    )


def _outputs(run: Run, world: "World", state: State) -> np.ndarray:
    from runs.training.census import outputs

    return outputs(world, organism_of(run, world, state), world.test).numpy()


def kinds(task: "Task", outputs: np.ndarray) -> tuple[Kind, ...]:
    """Return the first examples of every kind in the test split, predicted and as they are, beside simple forecasts.

    Parameters
    ----------
    task
        That asks for sequences of real numbers.
    outputs
        For its test split, [N, S, outputs].
    """
    from runs.results.forecasts import forecasts, r2

    simple, found = forecasts(task), []
    for name, rows in kinds_of(task).items():
        truth, given = task.test.targets[rows], outputs[rows]
        error = float(np.linalg.norm(given.astype(np.float64) - truth, axis=-1).mean())
        others = tuple(
            Forecast(what, answer[rows][:EXAMPLES], r2(answer[rows], truth))
            for what, answer in simple.items()
        )
        found.append(Kind(name, truth[:EXAMPLES], given[:EXAMPLES], error, r2(given, truth), others))
    return tuple(found)


def kinds_of(task: "Task") -> Mapping[str, np.ndarray]:
    """Return which test examples are of every kind, by its name; without labels all are of one."""
    labels = task.test.labels
    if labels is None:
        return {task.name: np.arange(len(task.test))}
    found = {name: np.flatnonzero(labels == label) for label, name in enumerate(task.labels)}
    return {name: rows for name, rows in found.items() if len(rows)}
