"""From a preset or a file, overrides and options to one checked configuration, or to all its problems."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from archive_store.errors import YamlError
from archive_store.strict_yaml import LARGEST, Document, read, scalar
from runs.config.execution import ExecutionConfig
from runs.config.model import Own, model_for
from runs.config.own import own_family
from runs.config.presets import PRESETS
from runs.config.problems import MOST, Problem, nearest, problems, quoted, shown
from runs.config.schema import PATHS, Config
from runs.config.schema import plain as plain_config
from runs.config.sections import OrganismConfig
from runs.errors import ConfigError


def load(
    source: str,
    overrides: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    *,
    import_own: bool = True,
) -> Config:
    """Read a preset or a file, apply overrides and options, and check the whole.

    Relative paths in a file are taken from the file's directory, those in overrides from the working
    directory. Where an override names another family than the file, the file's options of its family are left
    out. A later override of a key wins over an earlier one, and options win over both.

    Parameters
    ----------
    source
        A preset's name or the path of a YAML file.
    overrides
        Texts ``key.path=value``; the value follows the file's rules for scalars, or is a YAML list,
        mapping or quoted text.
    options
        Values by key path, from the command line's own options; None stands for "not given".
    import_own
        Whether a family that is given by import path is imported, for its options to be checked and completed.

    Raises
    ------
    ConfigError
        Naming every problem at once.
    """
    path = located(source)
    values, found = mapping(path, source)
    _anchor(values, path.parent.resolve())
    changes, wrong = parsed(overrides)
    changes += [(key, value) for key, value in (options or {}).items() if value is not None]
    extra: dict[str, Any] = {}
    for key, value in changes:
        put(extra, key.split("."), value)
    _anchor(extra, Path.cwd())
    merged = overlaid(_without_other_family(values, extra), extra)
    own, unusable = _own_family(merged) if import_own else (None, [])
    config, invalid = checked(merged, own)
    found += [*wrong, *unusable, *invalid, *_missing_files(merged)]
    if found or config is None:
        raise refusal(source, found)
    return config


def read_config(path: Path) -> Config:
    """Read a configuration file as it stands: a run's own ``config.yaml``.

    Files that it names need not exist: what a run needs of them is in the run directory.

    Raises
    ------
    ConfigError
        Naming every problem at once.
    """
    values, found = mapping(path, str(path))
    config, invalid = checked(values)
    if found or config is None:
        raise refusal(str(path), [*found, *invalid])
    return config


def config_from(text: str, path: Path) -> Config:
    """Return the configuration that a YAML text holds, which is to become the file at a path.

    Raises
    ------
    ConfigError
        Naming every problem at once.
    """
    try:
        document = read(text, str(path))
    except YamlError as error:
        raise ConfigError(str(error)) from None
    config, invalid = checked(document.value if isinstance(document.value, dict) else {})
    if config is None:
        raise refusal(str(path), invalid)
    return config


def execution_changes(**options: Any) -> dict[str, Any]:
    """Check options that change the execution of a run, and return those that are not None.

    Raises
    ------
    ConfigError
        Naming every option that is no valid value of its key.
    """
    given = {key: value for key, value in options.items() if value is not None}
    try:
        ExecutionConfig.model_validate(given)
    except ValidationError as error:
        raise refusal("execution", problems(error.errors(), ExecutionConfig)) from None
    return given


def checked(values: Mapping[str, Any], own: Own | None = None) -> tuple[Config | None, list[Problem]]:
    """Check plain values and return the configuration, or all that is wrong with them.

    The rules between keys are checked even where single keys are wrong: those take their defaults meanwhile,
    and a rule about one of them is left out.

    Parameters
    ----------
    values
        What YAML or JSON hold, under the keys of the file.
    own
        The user's own family, where it was imported.
    """
    model = model_for(values, own)
    try:
        return model.model_validate(values), []
    except ValidationError as error:
        found = _said(error, model)
    # A wrong item of a list takes the whole list along.
    broken = {key.split("[")[0] for problem in found for key in problem.keys}
    rest = _without(values, broken)
    try:
        model.model_validate(rest)
    except ValidationError as error:
        said = {str(problem) for problem in found}
        for problem in _said(error, model):
            if str(problem) not in said and not any(_touches(key, broken) for key in problem.keys):
                found.append(problem)
    return None, found


def _without_other_family(values: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    before, after = (each.get("organism") for each in (values, extra))
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return values
    default = OrganismConfig().kind
    if after.get("kind", default) == before.get("kind", default) or "kind" not in after:
        return values
    shared = {key: value for key, value in before.items() if not isinstance(value, dict)}
    return {**values, "organism": shared}


def _own_family(values: Mapping[str, Any]) -> tuple[Own | None, list[Problem]]:
    try:
        return own_family(values), []
    except ConfigError as error:
        return None, [Problem(("organism.kind",), str(error).removeprefix("organism.kind "))]


def _said(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    fields = [item for item in error.errors() if item["type"] != "rules"]
    rules = [item["ctx"]["problems"] for item in error.errors() if item["type"] == "rules"]
    return problems(fields, model) + [problem for group in rules for problem in group]


def _touches(key: str, broken: set[str]) -> bool:
    return any(key == other or key.startswith(f"{other}.") for other in broken)


def _without(values: Mapping[str, Any], keys: set[str], prefix: str = "") -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        path = prefix + quoted(key)
        if path not in keys:
            kept[key] = _without(value, keys, f"{path}.") if isinstance(value, Mapping) else value
    return kept


def located(source: str, folder: Path = PRESETS) -> Path:
    """Return the file of a preset in a folder, or the one at a path.

    Raises
    ------
    ConfigError
        If there is neither, or it is no file.
    """
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if source in known:
        return folder / f"{source}.yaml"
    path = Path(source)
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigError(f"{source[:80]} cannot be read: {error.strerror}") from None
    if path.is_dir():
        raise ConfigError(f"{source} is a directory; give a YAML file or a preset: {', '.join(known)}")
    if not path.exists():
        near = nearest(path.stem, known)
        raise ConfigError(
            f"no preset and no file is called {source}{near or ';'} presets: {', '.join(known)}"
        )
    if not path.is_file():
        raise ConfigError(f"{source} is no regular file; give a YAML file or a preset: {', '.join(known)}")
    return path


def mapping(path: Path, source: str, example: str = "rounds: 40") -> tuple[dict[str, Any], list[Problem]]:
    """Return what a YAML file holds, a mapping, and problems that do not stop the reading.

    Parameters
    ----------
    path
        Of the file.
    source
        What messages call it.
    example
        What it could hold.

    Raises
    ------
    ConfigError
        If it cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)  # one more than a configuration may have, which is then said
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}") from None
    document = _read(data, source)
    if not isinstance(document.value, dict):
        raise ConfigError(f"{source}: it must be a mapping such as '{example}', not {shown(document.value)}")
    return document.value, [Problem((source,), problem) for problem in document.problems]


def _read(data: bytes | str, source: str) -> Document:
    try:
        return read(data, source)
    except YamlError as error:
        raise ConfigError(str(error)) from None


def parsed(overrides: Sequence[str]) -> tuple[list[tuple[str, Any]], list[Problem]]:
    """Return key path and value of texts ``key.path=value``, and what is wrong with the others."""
    changes: list[tuple[str, Any]] = []
    wrong: list[Problem] = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            wrong.append(Problem((text,), "an override is written key.path=value, such as seed=1"))
            continue
        try:
            changes.append((key, _value(value, text, wrong)))
        except ConfigError as error:
            wrong.append(Problem((key,), str(error)))
    return changes, wrong


def _value(value: str, text: str, wrong: list[Problem]) -> Any:
    if value[:1] not in ("[", "{", '"', "'"):
        return scalar(value)
    document = _read(value, text)
    wrong += [Problem((text,), problem) for problem in document.problems]
    return document.value


def put(values: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """Set the value at a path of keys, with the mappings on the way to it.

    Parameters
    ----------
    values
        Nested mappings, which are changed.
    keys
        The path.
    value
        What is set.
    """
    for key in keys[:-1]:
        inner = values.get(key)
        values[key] = inner if isinstance(inner, dict) else {}
        values = values[key]
    values[keys[-1]] = value


def overlaid(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings with others laid over them."""
    merged = dict(values)
    for key, change in changes.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(change, dict)
        merged[key] = overlaid(old, change) if both else change  # type: ignore[arg-type]
    return merged


def _paths(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield section, key and value of every path in the configuration."""
    for section, key in PATHS:
        inner = values.get(section)
        value = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(value, str) and (key != "centroids" or value.endswith(".npy")):
            yield section, key, value


def _anchor(values: dict[str, Any], directory: Path) -> None:
    """Make the relative paths absolute."""
    for section, key, value in _paths(values):
        with suppress(RuntimeError):  # "~name/..." of no known user: then there is no such file
            value = str(Path(value).expanduser())
        values[section][key] = str(directory / value)


def _missing_files(values: Mapping[str, Any]) -> list[Problem]:
    found = []
    for section, key, value in _paths(values):
        path, kind = Path(value), "directory" if key == "from" else "file"
        is_there = path.is_dir() if kind == "directory" else path.is_file()
        if not (is_there and os.access(path, os.R_OK)):
            found.append(Problem((f"{section}.{key}",), f"no readable {kind} at {value}"))
    return found


def refusal(source: str, found: Sequence[Problem]) -> ConfigError:
    """Return the error that tells problems: one in a sentence, several a line each, at most `MOST` of them."""
    if len(found) == 1:
        text = str(found[0])
        return ConfigError(text if text.startswith(source) else f"{source}: {text}")
    lines = "".join(f"\n  {problem}" for problem in found[:MOST])
    if len(found) > MOST:
        lines += f"\n  and {len(found) - MOST:,} more"
    return ConfigError(f"{source}: {len(found):,} problems:{lines}")


def overridden(config: Config, overrides: Sequence[str], options: Mapping[str, Any] | None = None) -> Config:
    """Return the configuration of a run with overrides and options over it.

    Parameters
    ----------
    config
        Of the run.
    overrides, options
        As in `load`; files that the configuration names need not exist.

    Raises
    ------
    ConfigError
        Naming every problem at once.
    """
    changes, wrong = parsed(overrides)
    changes += [(key, value) for key, value in (options or {}).items() if value is not None]
    extra: dict[str, Any] = {}
    for key, value in changes:
        put(extra, key.split("."), value)
    other, invalid = checked(overlaid(plain_config(config), extra))
    if wrong or other is None:
        raise refusal("the settings to go on with", [*wrong, *invalid])
    return other


def changed(config: Config, execution: Mapping[str, Any]) -> Config:
    """Return the configuration with other values in its ``execution:`` section.

    Raises
    ------
    ConfigError
        If one of them is not valid.
    """
    values = plain_config(config)
    values["execution"] |= execution
    other, found = checked(values)
    if other is None:
        raise ConfigError("; ".join(map(str, found)))
    return other
