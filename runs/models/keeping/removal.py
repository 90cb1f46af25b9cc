"""Taking models away: folders that are checkpoints or trainings, and nothing else."""

import os
import secrets
import shutil
from pathlib import Path

from archive_store import durable
from archive_store.errors import WriteError
from runs.errors import ConfigError
from runs.models.checkpoints import DESCRIPTION, MODEL
from runs.models.opening import STEP, kept_in, steps

GOING = ".deleted"  # in the name of a folder that is being removed


def removable(path: Path) -> int:
    """Return the bytes of a folder that `remove` would take away.

    Raises
    ------
    ConfigError
        If it is no checkpoint and no training, is a link or reached through one, or holds what neither has.
    """
    if path.is_symlink():
        raise ConfigError(f"{path} is a link, and only folders are deleted; give the folder that it leads to")
    kind = kept_in(path)
    if kind is None or kind == "run":
        what = "a run: remove its folder by hand" if kind else "no checkpoint and no training"
        raise ConfigError(f"{path} is {what}; only checkpoints and trainings are deleted")
    if kind == "checkpoint" and not all((path / name).is_file() for name in (MODEL, DESCRIPTION)):
        raise ConfigError(f"{path} has a list of digests, but no model; look at it, and remove it by hand")
    if kind == "training" and not _of_trainings_alone(path):
        raise ConfigError(
            f"{path} has a folder of checkpoints, but other folders or no training's config.yaml too; look at it, and "
            "remove it by hand"
        )
    return sum((Path(root) / name).lstat().st_size for root, _, names in os.walk(path) for name in names)


def remove(path: Path) -> None:
    """Remove a checkpoint or a training: it is renamed, so that it is gone at once, and then removed.

    Raises
    ------
    ConfigError
        As `removable` does.
    WriteError
        If the folder can be neither renamed nor removed.
    """
    removable(path)
    going = path.with_name(f".{path.name}.{secrets.token_hex(4)}{GOING}")
    durable.rename(path, going)
    try:
        shutil.rmtree(going)  # a link in it is removed, and what it leads to stays
    except OSError as error:
        raise WriteError(going, error.strerror or str(error), False) from error


def _of_trainings_alone(path: Path) -> bool:
    """Return whether a folder has what a training writes: files, and one folder of checkpoints."""
    if not (path / "config.yaml").is_file():
        return False
    others = [
        each.name for each in path.iterdir() if each.is_dir() and each.name not in ("checkpoints", "plots")
    ]
    unknown = [each for each in (path / "checkpoints").iterdir() if not _of_a_step(each.name)]
    return not others and not unknown and all(not each.is_symlink() for each in steps(path))


def _of_a_step(name: str) -> bool:
    return bool(STEP.fullmatch(name.removesuffix(durable.PARTIAL)))
