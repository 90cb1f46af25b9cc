"""From a configuration to a finished training: what is checked before, and what is told of it afterwards."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archive_store.errors import YamlError
from archive_store.lock import held
from archive_store.strict_yaml import read
from runs.config.reader import refusal
from runs.errors import ConfigError, RunError, command
from runs.machine import settings
from runs.machine.interruption import listening, to_stderr
from runs.models.config import TrainConfig
from runs.models.fit.folder import Saved, TrainingFolder, as_training, check_place
from runs.models.fit.rules import broken_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from organisms.task import Task
    from runs.observability.fitting import FitProgress

STOPPING = "stopping after the step under way; once more to stop now"


@dataclass(frozen=True, slots=True)
class Fitted:
    """A finished training.

    Parameters
    ----------
    folder
        With its configuration, log and checkpoints.
    best
        Folder of the checkpoint of the least validation loss (`runs.models.checkpoints.open_checkpoint`).
    step
        Of the best checkpoint.
    loss, score, score_name
        Of the best checkpoint, on the validation split.
    baseline, baseline_name
        Score of an answer that nothing was learned for (`runs.models.fit.baseline`), and what it is.
    metrics
        All that was measured of the best checkpoint.
    reason
        Why the training ended.
    """

    folder: Path
    best: Path
    step: int
    loss: float
    score: float
    score_name: str
    baseline: float
    baseline_name: str
    metrics: "Mapping[str, Any]"
    reason: str


def silent(progress: "FitProgress") -> None:
    """Report nothing."""


def fit(
    config: TrainConfig,
    *,
    resume: bool = False,
    nproc: int = 1,
    report: "Callable[[FitProgress], None]" = silent,
    tell: Callable[[str], None] = to_stderr,
    how: str | None = None,
) -> Fitted:
    """Train a model and return where its best checkpoint is.

    Call it before torch is imported, or after `runs.machine.settings.prepare`, so that arithmetic is repeatable. With
    several processes the calling script must be importable (``if __name__ == "__main__":``).

    Parameters
    ----------
    config
        Of data, model, optimizer and schedule; ``out_dir`` and ``run_name`` name the folder.
    resume
        Whether to go on with the training in the folder, from its newest checkpoint, to the same end; one that has
        ended is not trained any further.
    nproc
        Processes that train together, each on batches of its own: a step takes so many times the examples.
    report
        Is called with the progress after each step.
    tell
        Is called with a sentence for whoever asks it to stop, within the signal's handler.
    how
        The command that goes on with it, for messages; None: that of the folder.

    Raises
    ------
    ConfigError
        If the configuration cannot be used, or the folder is there and `resume` is not given; nothing was written.
    RunError
        If the training diverges or cannot go on, or the disk does not take what is written; its checkpoints stay.
    Stopped
        If SIGINT or SIGTERM asked it to stop; there is a checkpoint of its last step then.
    LockError
        If another process trains in this folder.

    Examples
    --------
    >>> from runs.models.config import SchedConfig, TrainConfig
    >>> from runs.models.fit import fit
    >>> fit(TrainConfig(run_name="digits", sched=SchedConfig(total_steps=200, warmup_steps=20))).score
    """
    if nproc < 1:
        raise ConfigError(f"--nproc must be at least 1, not {nproc}")
    broken = broken_rules(config)
    if broken:
        raise refusal(config.run_name, broken)
    folder = TrainingFolder((Path(config.out_dir) / config.run_name).absolute())
    how = how or command("fit", folder.path, "--resume")
    check_place(folder.path, resume, how)
    settings.prepare()
    from runs.models.fit.prepared import prepare

    prepared = prepare(config, size=nproc)
    if resume:
        _check_same(folder, config)
    from runs.models.fit.step.trainer import Trainer
    from runs.models.fit.step.world import World

    trainer = Trainer(prepared, World())  # before anything is written: it refuses what does not fit
    with ExitStack() as stack:
        stop = stack.enter_context(listening(tell, STOPPING))
        if not resume:
            folder.create(config)
        stack.enter_context(held(folder.path))
        if folder.status().get("state") == "finished" and folder.best() is not None:
            reason = str(folder.status().get("reason"))
        elif nproc == 1:
            from runs.models.fit.loop import train

            with as_training(how):
                reason = train(
                    trainer, folder, report=report, stop=stop.patiently, clock=time.monotonic, how=how
                )
        else:
            from runs.models.fit.processes import train_together

            del trainer
            reason = train_together(config, folder, nproc, report=report, stop=stop.patiently, how=how)
        return _fitted(folder, prepared.task, reason)


def _check_same(folder: TrainingFolder, config: TrainConfig) -> None:
    """Refuse to go on with another configuration than the folder's."""
    from runs.models.fit.records import differing

    try:
        kept = read(folder.config.read_bytes(), str(folder.config)).value
    except (OSError, YamlError) as error:
        raise RunError(f"{folder.config} cannot be read: {error}") from None
    found = differing(config.model_dump(mode="json"), kept if isinstance(kept, dict) else {})
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise ConfigError(
            f"{folder.path} was begun with another configuration: {'; '.join(found[:3])}{more}; go on with its own: "
            f"{command('fit', folder.path, '--resume')}, or choose another name: run_name=..."
        )


def _fitted(folder: TrainingFolder, task: "Task", reason: str) -> Fitted:
    from runs.models.checkpoints import open_checkpoint
    from runs.models.fit.baseline import baseline
    from runs.models.fit.records import TRAINING

    best: Saved | None = folder.best()
    if best is None or best.loss is None:
        raise RunError(f"{folder.path} has ended without a checkpoint that was evaluated; was one removed?")
    checkpoint = open_checkpoint(best.path)
    name, score = baseline(task, task.validation)
    metrics = {key: value for key, value in checkpoint.metrics.items() if key != TRAINING}
    return Fitted(
        folder.path,
        best.path,
        best.step,
        best.loss,
        float(metrics["score"]),
        task.score_name,
        score,
        name,
        metrics,
        reason,
    )
