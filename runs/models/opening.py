"""Opening a model, whatever it is kept in: a checkpoint, the folder of a training, or a run."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runs.errors import ConfigError, RunError, command
from runs.models.checkpoints import DIGESTS, METRICS, Checkpoint, open_checkpoint
from runs.models.lengths import RUN, Lengths, lengths_of
from runs.models.signature import Signature

if TYPE_CHECKING:
    from torch import nn

    from archive_store.reading import Run

Kept = Literal["checkpoint", "training", "run"]
CHECKPOINTS = "checkpoints"  # in the folder of a training
STEP = re.compile(r"step-(\d+)")
JOURNAL = "journal.sqlite"


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A model that was opened.

    Parameters
    ----------
    model
        A module in evaluation mode, on the CPU, that maps tokens to outputs.
    signature
        What it reads and answers.
    description
        Plain values: ``kind`` (checkpoint or run), ``path`` and ``digest`` of what was opened, ``architecture``,
        ``task``, ``step`` or ``organism`` and ``round``, ``metrics``.
    lengths
        Which sequences it reads.
    """

    model: "nn.Module"
    signature: Signature
    description: Mapping[str, Any]
    lengths: Lengths

    @property
    def any_length(self) -> bool:
        """Whether it reads sequences of any length."""
        return self.lengths.any

    @property
    def reading(self) -> "nn.Module":
        """The model as it reads all of its `lengths`: a network of a run wants the task's."""
        from runs.models.network import OutputsOnly, Padded

        if self.description["kind"] == RUN and self.lengths.least < self.signature.length:
            return OutputsOnly(Padded(self.model, self.signature)).eval()
        return self.model


def open_model(path: Path | str) -> Opened:
    """Open a checkpoint, the best checkpoint of a training, or the best network of a run.

    Code of its own, by import path, is imported.

    Raises
    ------
    ConfigError
        If the folder is none of these.
    RunError, StoreError
        If it is damaged, or has no model yet.
    """
    path = Path(path)
    if kind_of(path) == "run":
        return _of_run(path)
    checkpoint = checkpoint_of(path)
    signature = checkpoint.signature
    lengths = lengths_of(signature, checkpoint.choice.kind)
    return Opened(_outputs_of(checkpoint), signature, described(checkpoint), lengths)


def module_of(path: Path) -> tuple["nn.Module", Signature, str, Lengths]:
    """Return a model as `runs.models.architectures` makes them, what it reads and answers, its digest, and its lengths.

    It is called as ``model(tokens, mask=None, generator=None)`` and returns outputs and metrics; in evaluation mode, on
    the CPU.

    Raises
    ------
    ConfigError, RunError, StoreError
        As `open_model` raises them.
    """
    if kind_of(path) == "run":
        from runs.models.network import Padded

        opened = _of_run(path)
        return (
            Padded(opened.model, opened.signature).eval(),
            opened.signature,
            str(opened.description["digest"]),
            opened.lengths,
        )
    checkpoint = checkpoint_of(path)
    lengths = lengths_of(checkpoint.signature, checkpoint.choice.kind)
    return checkpoint.model(), checkpoint.signature, checkpoint.digest, lengths


def kind_of(path: Path) -> Kept:
    """Return what a folder is.

    Raises
    ------
    ConfigError
        If it keeps no model.
    """
    found = kept_in(path)
    if found is None:
        what = "is no folder" if not path.is_dir() else "is neither a checkpoint, a training nor a run"
        raise ConfigError(
            f"{path} {what}; give the folder of a training, of one of its checkpoints, or of a run (models list finds "
            "them)"
        )
    return found


def kept_in(path: Path) -> Kept | None:
    """Return what a folder is; None: nothing that keeps a model."""
    if (path / DIGESTS).is_file():
        return "checkpoint"
    if (path / CHECKPOINTS).is_dir():
        return "training"
    return "run" if (path / JOURNAL).is_file() else None


def checkpoint_of(path: Path) -> Checkpoint:
    """Open a checkpoint, or of a training the one of the least validation loss.

    Raises
    ------
    ConfigError
        If it is neither.
    RunError
        If it is damaged, or the training has none yet.
    """
    return open_checkpoint(path if kept_in(path) == "checkpoint" else best_step(path))


def steps(training: Path) -> list[Path]:
    """Return the checkpoints of a training, in the order of their steps."""
    try:
        found = [each for each in (training / CHECKPOINTS).iterdir() if STEP.fullmatch(each.name)]
    except OSError:
        return []
    return sorted(found, key=lambda each: int(each.name.removeprefix("step-")))


def best_step(training: Path) -> Path:
    """Return the checkpoint of the least validation loss of a training; of equal ones the first.

    Raises
    ------
    RunError
        If there is none, or what was measured of one cannot be read.
    """
    found = steps(training)
    if not found:
        raise RunError(f"{training} has no checkpoint yet; look again after eval.every steps")
    return min(found, key=_loss)


def _loss(checkpoint: Path) -> float:
    """Return the validation loss of a checkpoint; one without a finite loss is the worst."""
    path = checkpoint / METRICS
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError
        values = json.loads(path.read_bytes())
        loss = float(values["loss"]) if values.get("loss") is not None else math.inf
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise RunError(
            f"{path} cannot be read ({type(error).__name__}); restore the checkpoint from a copy, or remove it: "
            + command("models", "delete", checkpoint)
        ) from None
    return loss if math.isfinite(loss) else math.inf


def _outputs_of(checkpoint: Checkpoint) -> "nn.Module":
    from runs.models.network import OutputsOnly

    return OutputsOnly(checkpoint.model()).eval()


def described(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what is said of a checkpoint, as plain values."""
    return {
        "kind": "checkpoint",
        "path": str(checkpoint.path),
        "digest": checkpoint.digest,
        "architecture": checkpoint.choice.kind,
        "task": checkpoint.signature.name,
        "step": checkpoint.metrics.get("step"),
        "metrics": dict(checkpoint.metrics),
    }


def _of_run(path: Path) -> Opened:
    from archive_store.reading import open_run
    from runs.models.networks import best_of, best_state

    run = open_run(path)
    model, signature = best_of(run)
    state = best_state(run)
    return Opened(
        model,
        signature,
        {
            "kind": RUN,
            "path": str(path),
            "digest": state.digest,
            "architecture": run.config["organism"]["kind"],
            "task": signature.name,
            "organism": state.organism,
            "round": state.round,
            "metrics": scores(run, state.organism, state.round),
        },
        lengths_of(signature, RUN),
    )


def scores(run: "Run", organism: int, round: int) -> dict[str, float]:
    """Return the validation loss and score of an organism, as its census has them.

    Parameters
    ----------
    run
        As `archive_store.reading.open_run` gives it.
    organism, round
        Which one, at the end of which round.
    """
    census = run.census()
    row = census[(census["organism"] == organism) & (census["round"] == round)].iloc[0]
    return {"loss": float(row["validation_loss"]), "score": float(row["validation_score"])}
