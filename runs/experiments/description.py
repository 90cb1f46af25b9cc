"""What an experiment is asked to be: the file that describes one, the presets, and seeds as they are written."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from archive_store.errors import YamlError
from archive_store.strict_yaml import LARGEST, read
from organisms.layers.config import Section
from runs.config.presets import PRESETS, presets
from runs.config.problems import nearest, problems, shown
from runs.config.schema import PATHS
from runs.errors import ConfigError

EXPERIMENTS = PRESETS / "experiments"
MOST_SEEDS = 10_000
_RANGE = re.compile(r"([0-9]{1,18}):([0-9]{1,18})")
_LIST = re.compile(r"[0-9]{1,18}(,[0-9]{1,18})*")

Settings = dict[str, Any]  # sections and keys as in a configuration


class Longer(Section):
    """The full version of an experiment whose short one is a first look."""

    settings: Settings = Field(default_factory=dict)
    """What differs from the short version's settings."""
    seeds: str | int | list[int] | None = None
    """Null: those of the short version."""


class Description(Section):
    """An experiment: one configuration, arms that differ from it, and the seeds that all arms have in common."""

    name: str = "experiment"
    """Name of the experiment and, under out/, of its folder."""
    base: str = "digits"
    """A preset, or the file of a configuration (relative to this one)."""
    settings: Settings = Field(default_factory=dict)
    """What all arms change of it."""
    arms: dict[str, Settings | None]
    """What each arm changes; with the first one the others are compared. `yoke: ARM` lets an arm's births and deaths
    happen when, where and as often as those of that arm's run of the same seed."""
    seeds: str | int | list[int] = "0:5"
    """0:5 is 0 to 4; or a list."""
    speed: bool = False
    """Whether `show` also measures how fast the best networks answer."""
    also: list[Literal["degradation", "placement"]] = Field(default_factory=list)
    """What else is asked of finished runs: degradation, how scores fall as parts are removed; placement, what it would
    cost to spread organisms over devices."""
    full: Longer | None = None
    """The full version, where this one is short."""


def experiments() -> list[str]:
    """Return the names of the presets of experiments, sorted."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))


def purpose(preset: str) -> str:
    """Return what the first line of a preset says it is for."""
    with (EXPERIMENTS / f"{preset}.yaml").open(encoding="utf-8") as file:
        return file.readline().removeprefix("#").strip()


def described(source: str) -> Description:
    """Read a preset or a file; its relative paths are made absolute.

    Raises
    ------
    ConfigError
        Naming what is wrong with it.
    """
    path = EXPERIMENTS / f"{source}.yaml" if source in experiments() else Path(source)
    try:
        with path.open("rb") as file:
            document = read(file.read(LARGEST + 1), source)
    except FileNotFoundError:
        raise ConfigError(_unknown(source)) from None
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}") from None
    except YamlError as error:
        raise ConfigError(str(error)) from None
    if document.problems:
        raise ConfigError(f"{source}, {document.problems[0]}")
    if not isinstance(document.value, dict) or "arms" not in document.value:
        raise ConfigError(
            f"{source} is no experiment: it needs arms, such as 'arms: {{archive: {{}}, random: {{births: random}}}}'; "
            "the arms of a configuration are given by --arm NAME key=value ..."
        )
    return _anchored(validated(document.value, source), path.parent.resolve())


def validated(values: dict[str, Any], source: str) -> Description:
    """Return the description that values hold.

    Raises
    ------
    ConfigError
        Naming the first thing that is wrong with them.
    """
    try:
        return Description.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {problems(error.errors(), Description)[0]}") from None


def full(asked: Description) -> Description:
    """Return the full version of an experiment.

    Raises
    ------
    ConfigError
        If it has none.
    """
    if asked.full is None:
        raise ConfigError(f"the experiment {asked.name} has no full version; leave --full out")
    changes: dict[str, Any] = {"settings": merged(asked.settings, asked.full.settings)}
    if asked.full.seeds is not None:
        changes["seeds"] = asked.full.seeds
    return asked.model_copy(update={**changes, "name": f"{asked.name}-full", "full": None})


def merged(values: Settings, changes: Settings) -> Settings:
    """Return settings with those of others in their place, section by section."""
    result = dict(values)
    for key, change in changes.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(change, dict)
        result[key] = merged(old, change) if both else change  # type: ignore[arg-type]
    return result


def flat(settings: Settings, prefix: str = "") -> dict[str, Any]:
    """Return settings by key path: ``{"lifecycle.enabled": False}``."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def seeds_of(given: str | int | list[int]) -> tuple[int, ...]:
    """Return the seeds that ``0:5``, ``3``, ``0,2,5`` or a list name.

    Raises
    ------
    ConfigError
        If they are none, not all different, or more than 10,000.
    """
    if isinstance(given, list):
        found = given
    elif between := _RANGE.fullmatch(str(given)):
        first, end = map(int, between.groups())
        if first >= end:
            raise ConfigError(
                f"seeds are {given}, which holds none; {min(first, end)}:{max(first, end) + 1} does"
            )
        found = list(range(first, min(end, first + MOST_SEEDS + 1)))
    elif _LIST.fullmatch(str(given)):
        found = [int(each) for each in str(given).split(",")]
    else:
        raise ConfigError(f"seeds must be written 0:5 (which is 0 to 4) or 0,2,5, not {shown(given)}")
    if not found:
        raise ConfigError("seeds are an empty list; an experiment needs one at least, and two for intervals")
    if len(found) > MOST_SEEDS:
        raise ConfigError(f"seeds must be at most {MOST_SEEDS:,}, not {shown(given)}")
    twice = [seed for seed in found if found.count(seed) > 1]
    if twice:
        raise ConfigError(f"seeds hold {twice[0]} twice; each makes the same runs again")
    return tuple(found)


def _unknown(source: str) -> str:
    known = experiments()
    if source in presets():
        return (
            f"{source} is a configuration and no experiment; give arms: plasmodia experiment {source} --arm archive "
            "--arm random births=random --seeds 0:5"
        )
    near = nearest(source, known) or ";"
    return f"no experiment and no file is called {source[:80]}{near} experiments: {', '.join(known)}"


def _anchored(asked: Description, folder: Path) -> Description:
    """Make the paths of a file absolute that are relative to its folder."""

    def at_home(settings: Settings | None) -> Settings:
        found = dict(settings or {})
        for section, key in PATHS:
            inner = found.get(section)
            if isinstance(inner, dict) and isinstance(inner.get(key), str) and _is_path(key, inner[key]):
                found[section] = {**inner, key: str(folder / inner[key])}
        return found

    base = asked.base if asked.base in presets() else str(folder / asked.base)
    longer = asked.full and asked.full.model_copy(update={"settings": at_home(asked.full.settings)})
    return asked.model_copy(
        update={
            "base": base,
            "settings": at_home(asked.settings),
            "arms": {name: at_home(arm) for name, arm in asked.arms.items()},
            "full": longer,
        }
    )


def _is_path(key: str, value: str) -> bool:
    return key != "centroids" or value.endswith(".npy")
