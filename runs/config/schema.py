"""The whole configuration of a run, but for the options of its family (`runs.config.model`).

Shares are fractions of the run's rounds; rounds count from 1 and round 0 is calibration.
"""

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from archive_store.frames import taken
from archive_store.strict_yaml import write
from organisms.layers.config import Count, Section
from organisms.options import FamilyOptions
from qd.measures import DESCRIPTIONS, FEWEST_MEASURES, MEASURES, MOST_MEASURES, short_name
from runs.config.execution import ExecutionConfig
from runs.config.problems import shown
from runs.config.sections import (
    AnnealingConfig,
    ArchiveConfig,
    CalibrationConfig,
    ChemotaxisConfig,
    EarlyStoppingConfig,
    EmittersConfig,
    LifecycleConfig,
    ObjectiveConfig,
    OrganismConfig,
    TaskConfig,
    TrainingConfig,
    ValidityConfig,
    VariationConfig,
    named,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Config(Section):
    """Everything that a run depends on besides the code, the data and the machine's arithmetic."""

    name: str = "run"
    """Name of the run and, under out/, of its directory."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Names every random draw of the run."""
    rounds: Count = 40
    """Rounds of training, census and competition."""
    lag: Annotated[int, Field(ge=0)] = 1
    """Rounds that the archive seen by a decision may be behind; 0 is a barrier every round."""
    births: Literal["archive", "random", "genes", "clone", "none"] = "archive"
    """Where newborns come from: the arms of the experiment that asks whether the archive helps.
    archive: varied from elites that chemotaxis chooses; random: drawn anew; genes: an elite's structural genes with
    drawn weights of its norm; clone: varied from a living component of the same organism; none: nothing is born, and
    components still die (with lifecycle.enabled: false they do not)."""
    measures: Annotated[
        tuple[str, ...],
        Field(strict=False, json_schema_extra={"minItems": FEWEST_MEASURES, "maxItems": MOST_MEASURES}),
    ] = MEASURES
    """Two to eight axes of the behaviour space, five by default; any may be the import path package.module:Name of your
    own. `plasmodia validate --measures` ranks sets of the built-in ones."""
    task: TaskConfig = TaskConfig()
    organism: OrganismConfig = OrganismConfig()
    training: TrainingConfig = TrainingConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    archive: ArchiveConfig = ArchiveConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    annealing: AnnealingConfig = AnnealingConfig()
    lifecycle: LifecycleConfig = LifecycleConfig()
    variation: VariationConfig = VariationConfig()
    chemotaxis: ChemotaxisConfig = ChemotaxisConfig()
    emitters: EmittersConfig = EmittersConfig()
    validity: ValidityConfig = ValidityConfig()
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    execution: ExecutionConfig = ExecutionConfig()

    @field_validator("measures")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not FEWEST_MEASURES <= len(value) <= MOST_MEASURES:
            raise ValueError(
                f"must be a list of {FEWEST_MEASURES} to {MOST_MEASURES} measures, not of {len(value)}"
            )
        paths = tuple(named(path, DESCRIPTIONS) for path in value)
        names = [short_name(path) for path in paths]
        alike = [path for path, name in zip(paths, names, strict=True) if names.count(name) > 1]
        if alike:
            raise ValueError(
                f"must be measures of different names, not {' and '.join(alike)}; rename or replace one"
            )
        for path, name in zip(paths, names, strict=True):
            if path != name and (name in DESCRIPTIONS or taken(name)):
                raise ValueError(
                    "must not be called like a built-in measure or another column of the run's frames, "
                    f"as {path} is; rename it"
                )
        return paths

    @field_validator("name")
    @classmethod
    def _file_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value) or ".." in value:
            raise ValueError(
                "must be 1 to 64 letters, digits, dots, dashes or underscores, start with a letter or digit "
                f"and hold no '..', not {shown(value)}"
            )
        return value

    @property
    def family(self) -> str | None:
        """Name of the section of the family's own options; None where it has none."""
        own = [name for name in type(self.organism).model_fields if name not in OrganismConfig.model_fields]
        return own[0] if own else None

    @property
    def options(self) -> FamilyOptions:
        """The family's own options."""
        return FamilyOptions() if self.family is None else getattr(self.organism, self.family)


def own_options(config: Config, keys: Sequence[str] | None = None) -> list[tuple[str, str]]:
    """Return setting and value of the family's options that may name code of the user's own.

    `keys` are those of the family, where the options of the configuration may not be its own; None: they are.
    """
    options = config.options
    return [
        (f"organism.{config.family}.{key}", str(getattr(options, key, "")))
        for key in (options.own_code if keys is None else keys)
    ]


def plain(config: Config) -> dict[str, Any]:
    """Return the configuration as what YAML and JSON have, under the keys of the file."""
    return config.model_dump(mode="json", by_alias=True)


def to_yaml(config: Config) -> str:
    """Return the whole configuration, defaults included, as YAML that reads back as the same."""
    return write(plain(config))


def scientific(config: Config) -> dict[str, Any]:
    """Return the part of a configuration that a run's digest covers: all but how and where it is executed.

    Of paths only the file's name is kept: where a corpus, a file of centroids or a shared calibration lies
    is no part of the experiment, and what they hold is covered by digests of its own. A key that came later is
    left out while it has its default, so that runs which do not use it keep their digests.
    """
    values, defaults = plain(config), plain(type(config)())
    del values["execution"]
    own = ":" in config.organism.kind  # whose options have defaults that only its module knows
    for *sections, key in LATER:
        place, usual = values, defaults
        for section in sections:
            place, usual = place.get(section, {}), usual.get(section, {})
        if key in place and place[key] == usual.get(key) and not (own and len(sections) > 1):
            del place[key]
    for section, key in PATHS:
        value = values[section][key]
        if value is not None:
            values[section][key] = PurePath(value).name
    return values


TABLE = ("target", "columns", "predict", "split", "missing")  # keys of the task table
STREAM = ("stream", "chunks", "truncation")  # keys of tasks that are streams
PSEUDOPODS = ("memory", "memory_capacity", "memory_decay", "kernel", "compact")
LATER = (
    ("early_stopping",),
    *(("task", key) for key in ("kinds", *TABLE, *STREAM)),
    *(("chemotaxis", key) for key in ("kind", "sources", "patience")),
    *(("lifecycle", key) for key in ("efficiency", "memory_budget", "timetable")),
    ("objective", "kind"),
    ("training", "loss"),
    *(("organism", "pseudopods", key) for key in PSEUDOPODS),
)
PATHS = (("task", "path"), ("archive", "centroids"), ("calibration", "from"))
