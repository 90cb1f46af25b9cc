"""From a description to a plan: every arm's whole configuration, checked, and who calibrates for whom.

Arms of one seed take one calibration, so that their archives are measured with the same ruler. Arms that differ in
what a calibration depends on cannot: each such group has its own, named after its first arm.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runs.calibration.relevance import relevant
from runs.config.problems import nearest
from runs.config.reader import load
from runs.config.schema import Config, scientific
from runs.errors import ConfigError
from runs.experiments.description import Description, Settings, flat, seeds_of
from runs.experiments.yoking import CHANGES, YOKE, check_times, yoke_of

OTHER_OBJECTIVES = (
    "the arms have objectives of different definitions, so that objectives and QD scores cannot be compared"
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_OURS = {
    "seed": "seeds name the seeds of all arms",
    "calibration.from": "the arms of a seed share a calibration that the experiment makes",
}


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm: what it changes, its whole configuration, and whose calibration it takes."""

    name: str
    settings: Mapping[str, Any]  # by key path
    config: Config  # its seed and calibration are those of each cell
    calibrator: str  # name of an arm: this one or an earlier one
    yoke: str | None = None  # the arm whose times of births and deaths it follows


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """One thing to do: the calibration of an arm and a seed, or the run of a cell."""

    kind: str  # calibration or cell
    arm: str
    seed: int

    def __str__(self) -> str:
        what = f"{self.arm}, seed {self.seed}"
        return f"calibration of {what}" if self.kind == "calibration" else what


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment whose every configuration is valid."""

    name: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    speed: bool = False
    also: tuple[str, ...] = ()

    @property
    def calibrators(self) -> tuple[str, ...]:
        """The arms that calibrate."""
        return tuple(dict.fromkeys(arm.calibrator for arm in self.arms))

    @property
    def cells(self) -> tuple[Task, ...]:
        """All pairs of an arm and a seed, seed by seed."""
        return tuple(Task("cell", arm.name, seed) for seed in self.seeds for arm in self.arms)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what cannot be compared."""
        groups = ([arm.name for arm in self.arms if arm.calibrator == name] for name in self.calibrators)
        named = "; ".join(", ".join(group) for group in groups)
        rulers = (
            f"arms that share a calibration: {named}; between these groups coverage, QD scores, objectives and "
            "behaviours are measured with different rulers"
        )
        apart = len({arm.config.objective.model_dump_json() for arm in self.arms}) > 1
        return (*((rulers,) if len(self.calibrators) > 1 else ()), *((OTHER_OBJECTIVES,) if apart else ()))


def planned(asked: Description, overrides: Sequence[str] = (), options: Settings | None = None) -> Plan:
    """Check an experiment and return its plan.

    Parameters
    ----------
    asked
        What it is to be.
    overrides
        Texts ``key.path=value`` for all arms; what an arm changes wins over them.
    options
        Values by key path, which win over everything; None stands for "not given".

    Raises
    ------
    ConfigError
        Naming the arm and what is wrong with it.
    """
    seeds = seeds_of(asked.seeds)
    if not NAME.fullmatch(asked.name):
        raise ConfigError(f"the experiment's {_nameable(asked.name)}")
    if not asked.arms:
        raise ConfigError("an experiment needs an arm at least, and two to compare")
    shared = flat(asked.settings)
    _check_free("the experiment", [*shared, *(text.partition("=")[0] for text in overrides)])
    before = [*_texts(shared), *overrides]
    arms: list[Arm] = []
    for name, settings in asked.arms.items():
        changes = flat(settings or {})
        yoke = yoke_of(name, changes, asked.arms)
        config = _configured(asked.base, name, before, _of_configuration(changes, yoke), options or {})
        same = [arm.name for arm in arms if scientific(arm.config) == scientific(config) and arm.yoke == yoke]
        if same:
            raise ConfigError(f"the arms {same[0]} and {name} have the same settings; change or remove one")
        ruler = relevant(scientific(config))
        calibrator = next((arm.name for arm in arms if relevant(scientific(arm.config)) == ruler), name)
        arms.append(Arm(name, changes, config, calibrator, yoke))
    named = {arm.name: arm for arm in arms}
    for arm in arms:
        if arm.yoke is not None:
            check_times(arm, named[arm.yoke])
    return Plan(asked.name, tuple(arms), seeds, asked.speed, tuple(dict.fromkeys(asked.also)))


def tasks(plan: Plan) -> Iterator[Task]:
    """Yield all there is to do, seed by seed, the calibrations of a seed first."""
    for seed in plan.seeds:
        for calibrator in plan.calibrators:
            yield Task("calibration", calibrator, seed)
        yield from (cell for cell in plan.cells if cell.seed == seed)


def _configured(base: str, name: str, before: Sequence[str], changes: Settings, options: Settings) -> Config:
    if not NAME.fullmatch(name):
        raise ConfigError(f"an arm's {_nameable(name)}")
    _check_free(f"arm {name}", changes)
    where = [key for key in changes if key == "execution" or key.startswith("execution.")]
    if where:
        raise ConfigError(
            f"arm {name} sets {where[0]}, but all arms are executed alike; set it for all of them"
        )
    try:
        config = load(base, [*before, *_texts(changes)], options)
    except ConfigError as error:
        raise ConfigError(f"arm {name}: {error}") from error
    if config.calibration.from_run is not None:
        raise ConfigError(f"arm {name} sets calibration.from, but {_OURS['calibration.from']}; leave it out")
    if config.execution.address != "local":
        raise ConfigError(
            f"execution.address is {config.execution.address}, but the runs of an experiment are written on this "
            "machine; leave it out"
        )
    return config


def _of_configuration(changes: Settings, yoke: str | None) -> Settings:
    """Return what an arm changes of its configuration."""
    own = {key: value for key, value in changes.items() if key != YOKE}
    return own if yoke is None else {**CHANGES, **own}


def _check_free(who: str, keys: Sequence[str] | Settings) -> None:
    for key in keys:
        if key in _OURS:
            raise ConfigError(f"{who} sets {key}, but {_OURS[key]}; leave it out")


def _nameable(name: str) -> str:
    return (
        f"name becomes that of a folder: 1 to 64 letters, digits, dashes or underscores, the first a letter or digit, "
        f"not {json.dumps(name)[:80]}"
    )


def _texts(settings: Mapping[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def arm_called(name: str, plan: Plan) -> str:
    """Return the name of an arm of a plan.

    Raises
    ------
    ConfigError
        If there is none of this name.
    """
    known = [arm.name for arm in plan.arms]
    if name in known:
        return name
    near = nearest(name, known) or ";"
    raise ConfigError(f"the experiment has no arm {name[:80]}{near} its arms: {', '.join(known)}")
