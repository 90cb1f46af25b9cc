"""What was measured of an experiment's runs, kept beside them: a JSON file of a value for each arm and seed."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from archive_store import durable, inside
from archive_store.errors import UNREADABLE, RunDirectoryError
from runs.experiments.folder import ExperimentFolder

T = TypeVar("T")


def keep(folder: ExperimentFolder, name: str, values: Mapping[str, Mapping[Any, Any]]) -> None:
    """Write what was measured, by arm and seed.

    Parameters
    ----------
    folder
        Of the experiment.
    name
        Of the file.
    values
        What JSON has.
    """
    durable.write(folder.path / name, (json.dumps(values, indent=2) + "\n").encode("ascii"))


def kept(
    folder: ExperimentFolder, name: str, read: Callable[[Any], T], option: str
) -> dict[str, dict[int, T]]:
    """Return what was measured, by arm and seed; empty where nothing was.

    Parameters
    ----------
    folder, name
        As in `keep`.
    read
        Makes a value of what JSON has.
    option
        By which it is measured again.

    Raises
    ------
    RunDirectoryError
        If the file is not as it was written.
    """
    path = folder.path / name
    if not path.is_file():
        return {}
    try:
        found = json.loads(inside.read(folder.path, path, inside.LARGEST_TEXT))
        return {arm: {int(seed): read(each) for seed, each in by.items()} for arm, by in found.items()}
    except (OSError, *UNREADABLE) as error:
        raise RunDirectoryError(
            f"{path} cannot be read ({error}); remove it, or measure again by {option}"
        ) from None
