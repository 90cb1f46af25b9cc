"""The pictures of a model: what it predicts for test examples, over horizons, frequencies and paths."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.models import figures
from analysis.models.evaluation import Rollout
from analysis.rendering import NothingToDraw, rendered
from archive_store import durable
from organisms.task import Task
from runs.models.rollout import predicts_next, rollout
from runs.results.predictions import kinds, kinds_of

if TYPE_CHECKING:
    from torch import nn

SHARE = 0.5  # of an example that a rollout is given


def draw(
    model: "nn.Module",
    task: Task,
    to: Path,
    title: str,
    which: str | None = None,
    format: str = "png",
) -> list[Path]:
    """Draw what a model of a task has something for, and return the paths of the files.

    Parameters
    ----------
    model
        On the CPU.
    task
        That it was trained on.
    to
        Folder of the files, which is made where it is missing.
    title
        What the pictures call the model.
    which
        A name in `PICTURES`; None: all.
    format
        ``png`` or ``svg``.

    Raises
    ------
    NothingToDraw
        If the task asks for no sequences of real numbers, or not for what a picture needs.
    """
    names = [name for name in PICTURES if which in (None, name) and NEEDS[name](task)]
    if not names:
        raise NothingToDraw(
            f"there is no picture{f' {which}' if which else ''} of the task {task.name!r}: it needs a task that asks "
            "for sequences of real numbers"
        )
    durable.make_directory(to)
    paths = []
    for name in names:
        fill = partial(PICTURES[name], model, task, title)
        paths.append(to / f"{name}.{format}")
        durable.place(paths[-1], rendered(fill, format))
    return paths


def rollouts(model: "nn.Module", task: Task) -> list[Rollout]:
    """Return how a model goes on after the first half of the test examples, for every kind of them."""
    import torch

    given = max(1, int(SHARE * task.length))
    found = []
    for name, rows in kinds_of(task).items():
        whole = np.concatenate([task.test.inputs[rows], task.test.targets[rows][:, -1:]], axis=1)
        context, truth = whole[:, :given], whole[:, given:]
        said = rollout(model, torch.as_tensor(context), truth.shape[1])
        found.append(Rollout(name, context, truth, said.numpy()))
    return found


def _answers(model: "nn.Module", task: Task) -> np.ndarray:
    import torch

    from runs.models.evaluation import outputs

    answers: np.ndarray = outputs(model, torch.as_tensor(task.test.inputs)).numpy()
    return answers


def _predictions(model: "nn.Module", task: Task, title: str, figure: Any) -> None:
    figures.predictions(kinds(task, _answers(model, task)), title, figure)


def _horizon(model: "nn.Module", task: Task, title: str, figure: Any) -> None:
    figures.horizon(rollouts(model, task), title, figure)


def _spectra(model: "nn.Module", task: Task, title: str, figure: Any) -> None:
    answers = _answers(model, task)
    signals = {
        name: (task.test.targets[rows][..., 0], answers[rows][..., 0])
        for name, rows in kinds_of(task).items()
    }
    figures.spectra(signals, title, figure)


def _paths(model: "nn.Module", task: Task, title: str, figure: Any) -> None:
    figures.paths(rollouts(model, task), title, figure)


# From a model, its task and a title to a filled figure; and what each needs of the task.
PICTURES: Mapping[str, Callable[["nn.Module", Task, str, Any], None]] = {
    "predictions": _predictions,
    "horizon": _horizon,
    "spectra": _spectra,
    "paths": _paths,
}
NEEDS: Mapping[str, Callable[[Task], bool]] = {
    "predictions": lambda task: task.kind == "sequence",
    "horizon": predicts_next,
    "spectra": lambda task: task.kind == "sequence" and task.outputs == 1 and task.length >= 4,
    "paths": lambda task: predicts_next(task) and task.outputs > 1,
}
