"""The configuration of a training from a preset or a file, with overrides, or all its problems at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runs.config import reader
from runs.config.problems import Problem, problems
from runs.models.config import TrainConfig
from runs.models.fit.rules import broken_rules

PRESETS = Path(__file__).parents[1] / "presets"


def presets() -> list[str]:
    """Return the names of the presets, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load(source: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a preset or a file, apply overrides, and check the whole.

    A relative ``data.path`` in a file is taken from the file's directory, in an override from the working directory.

    Parameters
    ----------
    source
        A preset's name or the path of a YAML file.
    overrides
        Texts ``key.path=value``, as `runs.config.reader.load` takes them; a later one of a key wins.

    Raises
    ------
    ConfigError
        Naming every problem at once.
    """
    path = reader.located(source, PRESETS)
    values, found = reader.mapping(path, source, "model: {kind: experts}")
    _anchor(values, path.parent.resolve())
    changes, wrong = reader.parsed(overrides)
    extra: dict[str, Any] = {}
    for key, value in changes:
        reader.put(extra, key.split("."), value)
    _anchor(extra, Path.cwd())
    config, invalid = checked(reader.overlaid(values, extra))
    if config is None or found or wrong:
        raise reader.refusal(source, [*found, *wrong, *invalid])
    return config


def checked(values: Mapping[str, Any]) -> tuple[TrainConfig | None, list[Problem]]:
    """Check plain values and return the configuration, or all that is wrong with them."""
    try:
        config = TrainConfig.model_validate(values)
    except ValidationError as error:
        return None, problems(error.errors(), TrainConfig)
    broken = broken_rules(config)
    return (None if broken else config), broken


def _anchor(values: dict[str, Any], directory: Path) -> None:
    """Make the relative path of the data absolute."""
    data = values.get("data")
    path = data.get("path") if isinstance(data, dict) else None
    if isinstance(data, dict) and isinstance(path, str):
        values["data"] = {**data, "path": str(directory / path)}
