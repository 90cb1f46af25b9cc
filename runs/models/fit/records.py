"""What a training leaves behind while it goes on: log, checkpoints, status and reports, all of the first process.

Nothing that is written here is read again by the training itself, but for checkpoints when it is resumed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runs.config.problems import shown
from runs.errors import RunError
from runs.machine.clock import Clock
from runs.models import checkpoints
from runs.models.fit.folder import TrainingFolder
from runs.models.fit.log import Log
from runs.models.fit.step.trainer import Step, Trainer
from runs.models.options import ModelChoice
from runs.observability.fitting import FitProgress

TRAINING = "training"  # in the measurements of a checkpoint: how far the training was that it is of


@dataclass(frozen=True, slots=True)
class Position:
    """How far a training is.

    Parameters
    ----------
    step
        Optimizer steps so far.
    best_loss, best_step
        The least validation loss so far, and after which step it was; None, 0: there was no evaluation yet.
    waited
        Evaluations since then.
    """

    step: int = 0
    best_loss: float | None = None
    best_step: int = 0
    waited: int = 0

    def evaluated(self, step: int, loss: float) -> "Position":
        """Return the position after an evaluation."""
        if self.best_loss is None or loss < self.best_loss:
            return Position(step, loss, step, 0)
        return Position(step, self.best_loss, self.best_step, self.waited + 1)


class Records:
    """Writes what comes of a training into its folder, and reports it.

    Parameters
    ----------
    trainer
        Whose model is kept.
    folder
        Where it is written.
    report
        Is called with the progress after each step.
    clock
        Monotonic seconds: of speeds alone.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: TrainingFolder,
        report: Callable[[FitProgress], None],
        clock: Clock,
    ) -> None:
        self._trainer, self._folder, self._report, self._clock = trainer, folder, report, clock
        self._log = Log(folder.log)
        self._begun = self._since = clock()
        self._examples = 0  # since the last line of the log
        self._rate = 0.0
        self._validation: Mapping[str, float] = {}

    def step(self, step: int, done: Step, validation: Mapping[str, float] | None, is_logged: bool) -> None:
        """Log and report a step.

        Parameters
        ----------
        step
            Which one.
        done
            What came of it.
        validation
            What was measured after it; None: it was not evaluated.
        is_logged
            Whether it has a line of the log.
        """
        self._examples += done.examples
        self._validation = validation or self._validation
        if is_logged:
            self._write(step, done, validation)
        config = self._trainer.config
        signature = self._trainer.prepared.signature
        self._report(
            FitProgress(
                config.run_name,
                step,
                config.sched.total_steps,
                done.loss,
                done.rates,
                done.measured.get("expert_utilization", ()),
                self._rate * signature.length,
                self._validation.get("loss"),
                self._validation.get("score"),
                signature.score_name,
            )
        )

    def checkpoint(
        self, position: Position, done: Step, validation: Mapping[str, float] | None, data: str
    ) -> Path:
        """Write a checkpoint, remove those that are not kept, and return its folder.

        Parameters
        ----------
        position
            Its step, and what was best so far.
        done
            What came of its last step.
        validation
            What was measured of it; None: it was not evaluated.
        data
            Digest of the task.

        Raises
        ------
        WriteError
            If the disk does not take it.
        """
        trainer, config = self._trainer, self._trainer.config
        self._log.sync()
        path = self._folder.at(position.step)
        checkpoints.save(
            path,
            trainer.kept,
            with_routing(config.model, trainer.routing(position.step)),
            trainer.prepared.signature,
            metrics={
                "loss": None,
                "score": None,
                **(validation or {}),
                "step": position.step,
                "train_loss": done.loss,
                "is_average": trainer.average is not None,
                "task_digest": data,
                TRAINING: {
                    "best_loss": position.best_loss,
                    "best_step": position.best_step,
                    "waited": position.waited,
                    "processes": trainer.world.size,
                },
            },
            fingerprint=trainer.prepared.fingerprint,
            training=trainer.state(),
            data=config.data.model_dump(mode="json"),
        )
        self._folder.retain(config.eval.keep_best, config.eval.keep_newest)
        self._folder.report("running", position.step)
        return path

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _write(self, step: int, done: Step, validation: Mapping[str, float] | None) -> None:
        now = self._clock()
        seconds = now - self._since
        self._rate = self._examples / seconds if seconds > 0 else 0.0
        self._since, self._examples = now, 0
        record: dict[str, Any] = {
            "step": step,
            "epoch": step / self._trainer.batches.steps_per_epoch,
            "loss": done.loss,
            "losses": done.losses,
            "learning_rates": done.rates,
            "gradient_norm": done.norm,
            "routing": self._trainer.routing(step - 1),
            **done.measured,
            "seconds": now - self._begun,
            "examples_per_second": self._rate,
            "tokens_per_second": self._rate * self._trainer.prepared.signature.length,
        }
        self._log.write(record | ({} if validation is None else {"validation": validation}))


def with_routing(choice: ModelChoice, settings: Mapping[str, float]) -> ModelChoice:
    """Return the options of a model whose routers have these settings, so that they are kept with its parameters.

    Options of other architectures are as they were: a schedule for those of the user's own would not be kept, and a
    configuration refuses it for ours.
    """
    if choice.kind != "experts" or not settings:
        return choice
    block = choice.experts.block
    router = block.moe.router.model_copy(update=dict(settings))
    moe = block.moe.model_copy(update={"router": router})
    experts = choice.experts.model_copy(update={"block": block.model_copy(update={"moe": moe})})
    return choice.model_copy(update={"experts": experts})


def resumed(checkpoint: checkpoints.Checkpoint) -> Position:
    """Return the position that a checkpoint keeps.

    Raises
    ------
    RunError
        If it keeps none.
    """
    try:
        kept = checkpoint.metrics[TRAINING]
        best = kept["best_loss"]
        return Position(
            int(checkpoint.metrics["step"]),
            None if best is None else float(best),
            int(kept["best_step"]),
            int(kept["waited"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{checkpoint.path / checkpoints.METRICS} says not how far its training was: {error!r}"
        ) from None


def differing(asked: Mapping[str, Any], kept: Mapping[str, Any]) -> list[str]:
    """Return where two configurations differ, ``key is 1, not 2``, but for name, place and device."""
    left, right = _flat(asked), _flat(kept)
    keys = [key for key in sorted(left.keys() | right.keys()) if key not in ("out_dir", "run_name", "device")]
    return [
        f"{key} is {shown(left.get(key))}, not {shown(right.get(key))}"
        for key in keys
        if left.get(key) != right.get(key)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {prefix.rstrip("."): value}
    return {
        path: each for key, item in value.items() for path, each in _flat(item, f"{prefix}{key}.").items()
    }
