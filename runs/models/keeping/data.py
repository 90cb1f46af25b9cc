"""The data of a model: the task of its training or its run, made again."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from archive_store.errors import YamlError
from runs.config.problems import problems
from runs.config.sections import TaskConfig
from runs.errors import ConfigError, RunError
from runs.models.config import DataConfig
from runs.models.opening import checkpoint_of, kind_of

if TYPE_CHECKING:
    from organisms.task import Task

CONFIG = "config.yaml"  # in the folder of a training


def task_of(path: Path) -> "Task":
    """Return the task that a model was trained on, made again; code of its own is imported.

    Raises
    ------
    ConfigError
        If the folder keeps no model, or the data cannot be made any more.
    RunError
        If it is damaged, or nothing says what its data are.
    """
    if kind_of(path) == "run":
        from archive_store.reading import open_run
        from runs.models.networks import rebuilt

        return rebuilt(open_run(path)).task
    return _loaded(options_of(path))


def options_of(path: Path) -> TaskConfig:
    """Return the options of the task that a model was trained on.

    Raises
    ------
    ConfigError
        If the folder keeps no model, or they are not valid any more.
    RunError
        If it is damaged, or nothing says what its data are.
    """
    if kind_of(path) == "run":
        from archive_store.reading import open_run
        from runs.calibration.stored import config_of

        return config_of(open_run(path).directory).task
    checkpoint = checkpoint_of(path)
    if checkpoint.data is not None:
        return _checked(checkpoint.data, f"the data of {path}")
    config = checkpoint.path.parent.parent / CONFIG
    if not config.is_file():
        raise RunError(f"{path} does not say what its data are, nor is there {config}; name them with --data")
    return _checked(section(config), str(config))


def given(values: list[str]) -> "Task":
    """Return the task of ``--data``: a file, and single keys over it.

    Parameters
    ----------
    values
        Paths of YAML files, with a section ``data`` (of a training) or ``task`` (of a run) or the keys themselves, and
        texts ``key=value``; later ones win.

    Raises
    ------
    ConfigError
        If they are not data, or cannot be made.
    """
    from runs.config.reader import parsed

    merged: dict[str, Any] = {}
    for text in values:
        if "=" in text and not Path(text).is_file():
            changes, wrong = parsed([text.removeprefix("data.")])
            if wrong:
                raise ConfigError(f"--data {wrong[0]}")
            merged |= dict(changes)
        else:
            merged |= section(Path(text))
    return made(merged, "--data")


def section(path: Path) -> dict[str, Any]:
    """Return the section of the data of a configuration file, whose path of a file is made absolute.

    Raises
    ------
    ConfigError
        If the file cannot be read, or holds no mapping.
    """
    from archive_store.strict_yaml import read

    try:
        value = read(path.read_bytes(), str(path)).value
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except YamlError as error:
        raise ConfigError(str(error)) from None
    whole = value if isinstance(value, dict) else {}
    inner = whole.get("data", whole.get("task", whole))
    if not isinstance(inner, dict) or not inner:
        raise ConfigError(
            f"{path} has no data: give a mapping with the section data, or with keys such as name: digits"
        )
    file = inner.get("path")
    return {**inner, "path": str(path.parent.resolve() / file)} if isinstance(file, str) else dict(inner)


def made(data: Mapping[str, Any], where: str) -> "Task":
    """Return the task of a section of data.

    Parameters
    ----------
    data
        Plain values, as `runs.models.config.DataConfig` takes them.
    where
        What they are called in a message.

    Raises
    ------
    ConfigError
        If they are not valid, or the data cannot be made.
    """
    return _loaded(_checked(data, where))


def _checked(data: Mapping[str, Any], where: str) -> DataConfig:
    try:
        return DataConfig.model_validate(data)
    except ValidationError as error:
        found = problems(error.errors(), DataConfig)
        raise ConfigError(f"{where}: {found[0]}") from None


def _loaded(options: TaskConfig) -> "Task":
    from runs import tasks

    return tasks.load(options, tasks.corpus(options))
