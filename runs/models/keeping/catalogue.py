"""The models of a folder tree: checkpoints of trainings, and the best networks of runs."""

import math
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archive_store.durable import PARTIAL
from archive_store.errors import StoreError
from runs.config.problems import nearest
from runs.errors import ConfigError, PlasmodiaError, command
from runs.models.checkpoints import MODEL, open_checkpoint, shapes
from runs.models.opening import Kept, best_step, kept_in, scores, steps

LARGEST = sys.float_info.max
SORTS = ("loss", "score", "name", "date", "size", "parameters")


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that is kept.

    Parameters
    ----------
    name
        Its path below the folder that was looked through.
    kind
        ``checkpoint`` or ``run``.
    architecture, task
        What it is and what it learned; None: that cannot be read.
    parameters
        Numbers of its parameters and buffers; None for a run, whose network would have to be built to count them.
    step
        Optimizer steps of a checkpoint, rounds of a run.
    loss, score
        On the validation split.
    size
        Bytes of the checkpoint or the whole run.
    changed
        When a file of it was last changed, seconds since 1970.
    problem
        Why it cannot be used; None: it can.
    """

    name: str
    kind: Kept
    architecture: str | None = None
    task: str | None = None
    parameters: int | None = None
    step: int | None = None
    loss: float | None = None
    score: float | None = None
    size: int = 0
    changed: float = 0.0
    problem: str | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def catalogue(folder: Path, sort: str = "name", every: bool = False) -> list[Entry]:
    """Return the models of a folder tree, sorted; what is damaged is among them, with the reason.

    Parameters
    ----------
    folder
        Where to look. Links in it are not followed, but it may be one.
    sort
        A name in `SORTS`: the least loss and size, the highest score, the newest first; what has no such value last.
    every
        Whether to list all checkpoints of a training, and not the best alone.

    Raises
    ------
    ConfigError
        If there is no such folder, or it cannot be sorted so.
    """
    if sort not in SORTS:
        raise ConfigError(f"--sort must be one of {', '.join(SORTS)}, not {sort!r}{nearest(sort, SORTS)}")
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; give one whose models are to be listed")
    entries = (_entry(folder, path, kind) for path, kind in places(folder, every))
    found = [entry for entry in entries if entry is not None]
    return sorted(found, key=lambda entry: (*_rank(entry, sort), entry.name))


def places(folder: Path, every: bool = False) -> Iterator[tuple[Path, Kept]]:
    """Yield the checkpoints and the runs below a folder, in the order of their names.

    Parameters
    ----------
    folder
        Where to look.
    every
        As `catalogue` takes it.
    """
    for root, folders, _ in os.walk(folder):
        path, kind = Path(root), kept_in(Path(root))
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and not each.endswith(PARTIAL)
        )
        if kind is None:
            continue
        folders.clear()
        if kind == "training":
            yield from ((each, "checkpoint") for each in _of_training(path, every))
        else:
            yield path, kind


def newest(folder: Path) -> Path:
    """Return the model below a folder that was changed last: a checkpoint, or a run.

    Raises
    ------
    ConfigError
        If there is no such folder, or no model that can be used in it.
    """
    usable = [entry for entry in catalogue(folder, "date", every=True) if entry.problem is None]
    if not usable:
        raise ConfigError(f"{folder} has no model that can be used; see: {command('models', 'list', folder)}")
    return folder / usable[0].name


def _of_training(path: Path, every: bool) -> list[Path]:
    found = steps(path)
    if every or not found:
        return found
    try:
        return [best_step(path)]
    except PlasmodiaError:  # which of them is the best is not known, and one is damaged
        return found


def _entry(folder: Path, path: Path, kind: Kept) -> Entry | None:
    """Return what a folder keeps; None: a training that goes on has removed it meanwhile."""
    stats = _files(path)
    common: dict[str, Any] = {
        "name": str(path.relative_to(folder)),
        "kind": kind,
        "size": sum(each.st_size for each in stats),
        "changed": max((each.st_mtime for each in stats), default=0.0),
    }
    try:
        own = _of_run(path) if kind == "run" else _of_checkpoint(path)
    except (PlasmodiaError, StoreError, OSError) as error:
        if not path.exists():
            return None
        return Entry(**common, problem=" ".join(str(error).split()))
    return Entry(**common, **own)


def _files(path: Path) -> list[os.stat_result]:
    found = []
    for root, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                found.append((Path(root) / name).lstat())
    return [each for each in found if stat.S_ISREG(each.st_mode)]


def _of_checkpoint(path: Path) -> Mapping[str, Any]:
    checkpoint = open_checkpoint(path)
    return {
        "architecture": checkpoint.choice.kind,
        "task": checkpoint.signature.name,
        "parameters": sum(map(math.prod, shapes(path / MODEL).values())),
        "step": _whole(checkpoint.metrics.get("step")),
        "loss": _number(checkpoint.metrics.get("loss")),
        "score": _number(checkpoint.metrics.get("score")),
    }


def _of_run(path: Path) -> Mapping[str, Any]:
    from archive_store.reading import open_run
    from runs.results.best import newest as best

    run = open_run(path)
    state = best(run)
    own: dict[str, Any] = {
        "architecture": str(_below(run.config, "organism", "kind")),
        "task": str(_below(run.config, "task", "name")),
    }
    if state is None:
        return own | {"problem": "it keeps no network with a score yet"}
    return own | {"step": state.round, **scores(run, state.organism, state.round)}


def _below(config: Mapping[str, Any], section: str, key: str) -> Any:
    inner = config.get(section)
    return inner.get(key, "?") if isinstance(inner, Mapping) else "?"


def _number(value: Any) -> float | None:
    if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:  # NaN is neither
        return None
    return float(value)


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**63 else None


def _rank(entry: Entry, sort: str) -> tuple[bool, float]:
    """Return what a model is sorted by: it comes last without a value."""
    if sort == "name":
        return False, 0.0
    value = {
        "loss": entry.loss,
        "score": None if entry.score is None else -entry.score,
        "date": -entry.changed,
        "size": float(entry.size),
        "parameters": entry.parameters,
    }[sort]
    return value is None or math.isnan(value), 0.0 if value is None else float(value)
