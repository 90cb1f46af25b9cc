"""Taking models away: folders that are checkpoints or trainings, hold nothing else, and are not being trained."""

import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from archive_store import durable
from archive_store.errors import WriteError
from archive_store.lock import LOCK, check_free
from archive_store.shown import shown
from runs.errors import ConfigError
from runs.models.checkpoints import DESCRIPTION, DIGESTS, MODEL, REQUIRED, TRAINING
from runs.models.opening import CHECKPOINTS, kept_in, steps

FILES = (DIGESTS, *REQUIRED, TRAINING)
CONFIG, PLOTS = "config.yaml", "plots"
OF_TRAINING = (CONFIG, "log.jsonl", "metrics.prom", "status.json", LOCK, CHECKPOINTS, PLOTS)
OF_A_STEP = re.compile(rf"step-\d+(-{PLOTS})?(\..*)?")
GOING = ".deleted"  # in the name of a folder that is being removed


def removable(path: Path) -> int:
    """Return the bytes of a folder that `remove` would take away.

    Raises
    ------
    ConfigError
        If it is no checkpoint and no training, is a link, or holds what neither has.
    LockError
        If a process trains it, or the training that it is of.
    """
    if path.is_symlink():
        raise ConfigError(f"{path} is a link, and only folders are deleted; give the folder that it leads to")
    kind = kept_in(path)
    if kind is None or kind == "run":
        what = "a run: remove its folder by hand" if kind else "no checkpoint and no training"
        raise ConfigError(f"{path} is {what}; only checkpoints and trainings are deleted")
    if kind == "checkpoint" and not all((path / name).is_file() for name in (MODEL, DESCRIPTION)):
        raise ConfigError(f"{path} has a list of digests, but no model; look at it, and remove it by hand")
    if kind == "training" and not (path / CONFIG).is_file():
        raise ConfigError(
            f"{path} has a folder of checkpoints, but no training's {CONFIG}; look at it, and remove it by hand"
        )
    foreign = _foreign(path, kind)
    if foreign:
        raise ConfigError(
            f"{path} holds {shown(foreign[0])}, which no {kind} has; take it out, or remove the folder by hand"
        )
    for each in (path, path.resolve().parent.parent):
        check_free(each)
    return sum((Path(root) / name).lstat().st_size for root, _, names in os.walk(path) for name in names)


def remove(path: Path) -> None:
    """Remove a checkpoint or a training: it is renamed, so that it is gone at once, and then removed.

    Raises
    ------
    ConfigError, LockError
        As `removable` does.
    WriteError
        If the folder can be neither renamed nor removed.
    """
    removable(path)
    path = path.resolve()  # whose name may be a dot
    going = path.with_name(f".{path.name}.{secrets.token_hex(4)}{GOING}")
    durable.rename(path, going)
    try:
        shutil.rmtree(going)  # a link in it is removed, and what it leads to stays
    except OSError as error:
        raise WriteError(going, error.strerror or str(error), False) from error


def _foreign(path: Path, kind: str) -> list[str]:
    """Return what a folder has that a checkpoint, or a training, does not write, by name."""
    if kind == "checkpoint":
        return _others(path, FILES)
    found = _others(path, OF_TRAINING)
    found += [f"{CHECKPOINTS}/{each.name}" for each in (path / CHECKPOINTS).iterdir() if not _is_step(each)]
    return found or [
        f"{CHECKPOINTS}/{step.name}/{name}" for step in steps(path) for name in _others(step, FILES)
    ]


def _others(path: Path, known: Sequence[str]) -> list[str]:
    return [
        name for name in sorted(os.listdir(path)) if name not in known and not name.endswith(durable.PARTIAL)
    ]


def _is_step(path: Path) -> bool:
    return bool(OF_A_STEP.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()
