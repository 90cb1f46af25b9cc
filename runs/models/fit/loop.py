"""The steps of a training, one after the other: trained, logged, evaluated, kept, and stopped when it is time."""

from collections.abc import Callable

import torch

from archive_store.errors import StoreError
from runs.errors import PlasmodiaError, RunError, Stopped
from runs.machine.clock import Clock
from runs.models.checkpoints import MODEL, TRAINING, Checkpoint, open_checkpoint, tensors
from runs.models.fit.folder import Saved, TrainingFolder
from runs.models.fit.log import cut
from runs.models.fit.records import TRAINING as OF_TRAINING
from runs.models.fit.records import Position, Records, resumed
from runs.models.fit.step.trainer import Diverged, Step, Trainer
from runs.models.fit.step.world import World
from runs.observability.fitting import FitProgress

Report = Callable[[FitProgress], None]


def train(
    trainer: Trainer,
    folder: TrainingFolder,
    *,
    report: Report,
    stop: Callable[[], bool],
    clock: Clock,
    how: str,
) -> str:
    """Train from the newest checkpoint on, or from the beginning, and return why it ended.

    Parameters
    ----------
    trainer
        New, of the folder's configuration.
    folder
        Of the training; the first process alone writes there.
    report
        Is called with the progress, in the first process.
    stop
        Whether the training was asked to stop; it does so after the step under way.
    clock
        Monotonic seconds: of speeds alone.
    how
        The command that goes on with it.

    Raises
    ------
    Stopped
        If it was asked to stop; there is a checkpoint of its last step then.
    RunError
        If it diverged, the model fails, or the newest checkpoint is damaged.
    WriteError
        If the disk does not take what is written.
    """
    is_first = trainer.world.is_first
    position = _begin(trainer, folder, report)
    if not is_first:
        try:
            return _steps(trainer, position, None, stop)
        except (_Asked, Diverged):  # which the first process tells
            return ""
    records = Records(trainer, folder, report, clock)
    try:
        reason = _steps(trainer, position, records, stop)
        folder.report("finished", _newest_step(folder), reason)
        return reason
    except _Asked as asked:
        folder.report("stopped", asked.step, "asked to stop")
        raise Stopped(
            f"stopped after step {asked.step} of {trainer.config.sched.total_steps}, as asked; go on with: {how}"
        ) from None
    except Diverged as error:
        folder.report("diverged", _newest_step(folder), str(error))
        raise RunError(
            f"the training diverged: {error}; lower optim.lr_main or set optim.max_grad_norm, say{_left(folder)}"
        ) from None
    except (PlasmodiaError, StoreError) as error:
        if isinstance(error, PlasmodiaError):  # else the disk would not take this either
            folder.report("failed", _newest_step(folder), str(error))
        raise
    finally:
        records.close()


class _Asked(Exception):
    """The training was asked to stop, and has ended after a step."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


def _begin(trainer: Trainer, folder: TrainingFolder, report: Report) -> Position:
    """Put the newest checkpoint back, and cut from the log what came after it."""
    saved, position = folder.saved(), Position()
    if saved:
        checkpoint = _opened(saved)
        _check(trainer, checkpoint)
        trainer.restore(tensors(checkpoint.path / MODEL), tensors(checkpoint.path / TRAINING))
        position = resumed(checkpoint)
        if trainer.world.is_first:
            _tell_environment(trainer, checkpoint, report)
    if trainer.world.is_first:
        folder.sweep()
        cut(folder.log, position.step)
        folder.report("running", position.step)
        if trainer.batches.too_large:
            report(FitProgress(trainer.config.run_name, message=trainer.batches.too_large))
        if saved:
            report(
                FitProgress(
                    trainer.config.run_name,
                    message=f"going on after step {position.step} of {trainer.config.sched.total_steps}",
                )
            )
    _meet(trainer.world, trainer.prepared.device)
    return position


def _opened(saved: list[Saved]) -> Checkpoint:
    newest = saved[-1].path
    try:
        return open_checkpoint(newest)
    except PlasmodiaError as error:
        before = "the checkpoint before it" if len(saved) > 1 else "the beginning"
        raise RunError(f"{error}; or remove {newest}, to go on from {before}") from None


def _check(trainer: Trainer, checkpoint: Checkpoint) -> None:
    kept = checkpoint.metrics.get(OF_TRAINING)
    processes = kept.get("processes") if isinstance(kept, dict) else None
    if checkpoint.metrics.get("task_digest") != trainer.prepared.task.digest:
        raise RunError(
            f"the data of {trainer.prepared.task.name!r} are others than those that {checkpoint.path} was trained on; "
            "give it these again"
        )
    if processes != trainer.world.size:
        raise RunError(
            f"{checkpoint.path} was trained by {processes} processes, which together make a batch; go on with "
            f"--nproc {processes}"
        )
    if not (checkpoint.path / TRAINING).is_file():
        raise RunError(f"{checkpoint.path} is a model without the state of its training ({TRAINING})")


def _tell_environment(trainer: Trainer, checkpoint: Checkpoint, report: Report) -> None:
    from qd.canonical import plain
    from runs.machine.fingerprint import differences

    found = differences(plain(checkpoint.fingerprint), plain(trainer.prepared.fingerprint))
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        report(
            FitProgress(
                trainer.config.run_name,
                message="this is not the environment that the training began in, so that it goes on with other "
                f"roundings: {'; '.join(found[:3])}{more}",
            )
        )


def _meet(world: World, device: torch.device) -> None:
    """Wait until all processes are here: the first one changes files that the others read."""
    world.sum({"here": torch.zeros(1, device=device)})


def _steps(
    trainer: Trainer,
    position: Position,
    records: Records | None,
    stop: Callable[[], bool],
) -> str:
    """Train to the end; only the first process has records."""
    config, total = trainer.config, trainer.config.sched.total_steps
    step, done, is_enough = position.step, None, _is_enough(trainer, position)
    while step < total and not is_enough:
        step += 1
        done = trainer.optimise(step, stop)
        is_evaluated = step % config.eval.every == 0 or step == total
        if records is not None:
            position = _record(trainer, records, position, step, done, is_evaluated)
        if is_evaluated:
            is_enough = _agreed(trainer, _is_enough(trainer, position))
        if done.is_stop and step < total and not is_enough:
            raise _Asked(step)
    if is_enough and step < total:
        return f"no better validation loss in {config.eval.patience} evaluations"
    return f"all {total} steps are done"


def _record(
    trainer: Trainer, records: Records, position: Position, step: int, done: Step, is_evaluated: bool
) -> Position:
    validation = trainer.evaluate(step) if is_evaluated else None
    is_logged = is_evaluated or step % trainer.config.eval.log_every == 0 or step == 1
    records.step(step, done, validation, is_logged)
    here = Position(step, position.best_loss, position.best_step, position.waited)
    if validation is not None:
        here = position.evaluated(step, validation["loss"])
    if validation is not None or done.is_stop:
        records.checkpoint(here, done, validation, trainer.prepared.task.digest)
    return here


def _is_enough(trainer: Trainer, position: Position) -> bool:
    patience = trainer.config.eval.patience
    return patience is not None and position.waited >= patience


def _agreed(trainer: Trainer, is_enough: bool) -> bool:
    """Return what the first process says, which alone has evaluated."""
    own = float(is_enough and trainer.world.is_first)
    return bool(trainer.world.sum({"enough": torch.tensor(own, device=trainer.prepared.device)})["enough"])


def _newest_step(folder: TrainingFolder) -> int:
    saved = folder.saved()
    return saved[-1].step if saved else 0


def _left(folder: TrainingFolder) -> str:
    saved = folder.saved()
    return f"; the last good checkpoint is {saved[-1].path}" if saved else "; there is no checkpoint yet"
