"""The folder of a training: its configuration, log, status and checkpoints.

config.yaml     everything that was asked for
log.jsonl       losses, learning rates, routing and speed (`runs.models.fit.log`)
metrics.prom    with fit --metrics file: what is measured (`runs.observability.metrics`)
status.json     running, finished, stopped, diverged or failed, at which step, and why
checkpoints/    step-00000200 and so on: the best and the newest (`runs.models.checkpoints`)
"""

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from archive_store import durable
from archive_store.errors import WriteError
from archive_store.strict_yaml import write
from qd.canonical import canonical, number
from runs.errors import ConfigError, RunError
from runs.models.checkpoints import METRICS
from runs.models.config import TrainConfig

State = Literal["running", "finished", "stopped", "diverged", "failed"]
_STEP = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint of a training, by its folder and what was measured of it.

    Parameters
    ----------
    path
        Its folder.
    step
        Optimizer steps before it.
    loss
        On the validation split; None: it was saved because of an interrupt, and not evaluated.
    """

    path: Path
    step: int
    loss: float | None


@dataclass(frozen=True, slots=True)
class TrainingFolder:
    """The folder of a training.

    Parameters
    ----------
    path
        Of the folder.
    """

    path: Path

    @property
    def log(self) -> Path:
        """The file of the log."""
        return self.path / "log.jsonl"

    @property
    def config(self) -> Path:
        """The file of the configuration."""
        return self.path / "config.yaml"

    def create(self, config: TrainConfig) -> None:
        """Make the folder with its configuration, whole or not at all.

        Raises
        ------
        ConfigError
            If the folder cannot be made there.
        """
        partial = self.path.with_name(f".{self.path.name}{durable.PARTIAL}")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            durable.make_directory(partial / "checkpoints")
            durable.write(partial / self.config.name, write(config.model_dump(mode="json")).encode())
            durable.rename(partial, self.path)
        except WriteError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise ConfigError(
                f"{self.path} cannot be made: {error.reason}; choose another out_dir"
            ) from error
        self.report("running", 0)

    def at(self, step: int) -> Path:
        """Return the folder of a step's checkpoint."""
        return self.path / "checkpoints" / f"step-{step:08}"

    def saved(self) -> list[Saved]:
        """Return the checkpoints by step; one whose measurements cannot be read counts as not evaluated."""
        try:
            names = os.listdir(self.path / "checkpoints")
        except OSError:
            return []
        steps = sorted(int(match[1]) for name in names if (match := _STEP.fullmatch(name)))
        return [Saved(self.at(step), step, _loss(self.at(step) / METRICS)) for step in steps]

    def best(self) -> Saved | None:
        """Return the checkpoint of the least validation loss, the first of equal ones; None: none was evaluated."""
        evaluated = [each for each in self.saved() if each.loss is not None]
        return min(evaluated, key=_by_loss, default=None)

    def retain(self, best: int, newest: int) -> None:
        """Remove all checkpoints but the best and the newest ones.

        One that was not evaluated stays while it is the newest of all, so that what an interrupt left changes nothing
        of what is kept in the end.

        Parameters
        ----------
        best
            How many of the least validation loss to keep.
        newest
            How many of the last steps to keep.
        """
        saved = self.saved()
        evaluated = [each for each in saved if each.loss is not None]
        kept = {*sorted(evaluated, key=_by_loss)[:best], *evaluated[-newest:], *saved[-1:]}
        for each in saved:
            if each not in kept:
                remove(each.path)

    def sweep(self) -> None:
        """Remove what a process that was killed had not finished to write or to remove."""
        for partial in (self.path / "checkpoints").glob(f"*{durable.PARTIAL}"):
            shutil.rmtree(partial, ignore_errors=True)

    def report(self, state: State, step: int, reason: str = "") -> None:
        """Write how the training stands.

        Parameters
        ----------
        state
            Whether it goes on.
        step
            Optimizer steps so far.
        reason
            Why it does not, where it does not.
        """
        best = self.best()
        status = {
            "state": state,
            "step": step,
            "reason": reason,
            "best": None if best is None else best.path.name,
            "loss": None if best is None else best.loss,
        }
        durable.write(self.path / "status.json", canonical(status).encode())

    def status(self) -> dict[str, Any]:
        """Return how the training stood when it was written last: ``state``, ``step``, ``reason``, ``best``, ``loss``.

        Raises
        ------
        RunError
            If it cannot be read.
        """
        path = self.path / "status.json"
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {"state": "running", "step": 0, "reason": "", "best": None, "loss": None}
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{path} cannot be read ({error}); remove it, and go on with --resume") from None
        if not isinstance(value, dict):
            raise RunError(f"{path} is no JSON object; remove it, and go on with --resume")
        return value


def check_place(path: Path, resume: bool, how: str) -> None:
    """Refuse a folder that is there for a new training, or that is not there for one to be gone on with.

    Parameters
    ----------
    path
        Of the folder.
    resume
        Whether a training is to be gone on with.
    how
        The command that goes on with it.

    Raises
    ------
    ConfigError
        Naming both ways out.
    """
    if not os.path.lexists(path):
        if resume:
            raise ConfigError(f"there is no training at {path} to go on with; leave out --resume to begin it")
        return
    if not (path / "config.yaml").is_file():
        what = "holds no training" if path.is_dir() else "is no folder"
        raise ConfigError(f"{path} exists already and {what}; choose another run_name or out_dir")
    if not resume:
        raise ConfigError(f"{path} exists already; go on with: {how}, or choose another name: run_name=...")


def remove(path: Path) -> None:
    """Remove a checkpoint: renamed aside first, so that half of one is never taken for a whole."""
    aside = path.with_name(f"{path.name}.removed{durable.PARTIAL}")
    shutil.rmtree(aside, ignore_errors=True)
    durable.rename(path, aside)
    shutil.rmtree(aside, ignore_errors=True)


def _loss(path: Path) -> float | None:
    try:
        value = number(json.loads(path.read_bytes())["loss"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return value if math.isfinite(value) else None


def _by_loss(saved: Saved) -> tuple[float, int]:
    return (math.inf if saved.loss is None else saved.loss, saved.step)


@contextmanager
def as_training(how: str) -> Iterator[None]:
    """Tell of a full or broken disk in the words of a training.

    Parameters
    ----------
    how
        The command that goes on with it.

    Raises
    ------
    RunError
        Instead of a `WriteError`, whose words are a run's.
    """
    try:
        yield
    except WriteError as error:
        raise RunError(
            f"{error.path} cannot be written: {error.reason}; when {error.when}, the training goes on with: {how}"
        ) from error
