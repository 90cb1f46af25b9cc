"""The folder of an experiment: what was planned, the configuration of each arm, and a run directory a cell.

experiment.yaml              arms, seeds, and who calibrates for whom
arms/ARM.yaml                the whole configuration of an arm: `plasmodia launch` takes it, too
calibrations/ARM/SEED/       a run that has only begun: round 0 of this arm and of those that share its calibration
cells/ARM/SEED/              a run
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from archive_store import durable, inside
from archive_store.errors import NoRunError, RunDirectoryError, YamlError
from archive_store.run_directory import RunDirectory
from archive_store.strict_yaml import read, write
from organisms.layers.config import Section
from runs.config.problems import problems
from runs.config.reader import read_config
from runs.config.schema import scientific, to_yaml
from runs.errors import ConfigError
from runs.experiments.plan import NAME, Arm, Plan, Task
from runs.machine.fingerprint import differences
from runs.machine.place import placed

FORMAT = 1


class StoredArm(Section):
    """An arm, but for its configuration."""

    settings: dict[str, Any]
    calibration: str
    yoke: str | None = None


class Stored(Section):
    """What experiment.yaml holds."""

    format: int
    name: str
    seeds: list[int]
    speed: bool
    also: list[Literal["degradation", "placement"]] = Field(default_factory=list)
    arms: dict[str, StoredArm]


@dataclass(frozen=True, slots=True)
class ExperimentFolder:
    """The paths of an experiment."""

    path: Path

    @property
    def plan_path(self) -> Path:
        """What was planned."""
        return self.path / "experiment.yaml"

    @property
    def plots_path(self) -> Path:
        """The folder of the pictures."""
        return self.path / "plots"

    @property
    def report_path(self) -> Path:
        """The report."""
        return self.path / "report.html"

    def arm_path(self, arm: str) -> Path:
        """The configuration of an arm."""
        return self.path / "arms" / f"{arm}.yaml"

    def cell(self, arm: str, seed: int) -> Path:
        """The run of an arm and a seed."""
        return self.path / "cells" / arm / str(seed)

    def calibration(self, calibrator: str, seed: int) -> Path:
        """The calibration that a seed's runs of an arm take, and those of the arms that share it."""
        return self.path / "calibrations" / calibrator / str(seed)

    def done(self, task: Task) -> bool:
        """Whether a calibration is there, or a run has ended."""
        if task.kind == "calibration":
            return self.calibration(task.arm, task.seed).is_dir()
        return RunDirectory(self.cell(task.arm, task.seed)).finished()

    def create(self, plan: Plan) -> None:
        """Make the folder of a new experiment, whole or not at all.

        Raises
        ------
        ConfigError
            If something of its name is there.
        RunError
            If it cannot be written.
        """
        with placed(self.path) as partial:
            new = ExperimentFolder(partial)
            durable.make_directory(new.arm_path("arm").parent)
            for arm in plan.arms:
                durable.write(new.arm_path(arm.name), to_yaml(arm.config).encode("ascii"))
            new.write(plan)

    def write(self, plan: Plan) -> None:
        """Write experiment.yaml."""
        arms = {
            arm.name: {
                "settings": dict(arm.settings),
                "calibration": arm.calibrator,
                **({} if arm.yoke is None else {"yoke": arm.yoke}),
            }
            for arm in plan.arms
        }
        stored = {
            "format": FORMAT,
            "name": plan.name,
            "seeds": list(plan.seeds),
            "speed": plan.speed,
            "also": list(plan.also),
            "arms": arms,
        }
        durable.write(self.plan_path, write(stored).encode("ascii"))

    def plan(self) -> Plan:
        """Read what was planned; nothing that it names is imported.

        Raises
        ------
        NoRunError
            If the folder holds no experiment.
        RunDirectoryError
            If a file is not as it was written.
        """
        if not self.plan_path.is_file():
            raise NoRunError(
                f"{self.path} is no experiment: it has no experiment.yaml; give a folder that "
                "`plasmodia experiment` made"
            )
        stored = self._stored()
        arms = tuple(
            Arm(name, arm.settings, read_config(self.arm_path(name)), arm.calibration, arm.yoke)
            for name, arm in stored.arms.items()
        )
        return Plan(stored.name, arms, tuple(stored.seeds), stored.speed, tuple(stored.also))

    def sweep(self) -> None:
        """Remove what killed processes had not finished making."""
        for folder in ("calibrations", "cells"):
            for partial in sorted((self.path / folder).glob(f"*/.*{durable.PARTIAL}")):
                shutil.rmtree(partial, ignore_errors=True)

    def _stored(self) -> Stored:
        try:
            text = inside.read(self.path, self.plan_path, inside.LARGEST_TEXT)
            stored = Stored.model_validate(read(text, str(self.plan_path)).value)
        except (OSError, YamlError) as error:
            raise RunDirectoryError(
                f"{self.plan_path} cannot be read: {error}; restore it from a copy"
            ) from None
        except ValidationError as error:
            problem = problems(error.errors(), Stored)[0]
            raise RunDirectoryError(f"{self.plan_path}: {problem}; restore it from a copy") from None
        if stored.format != FORMAT:
            raise RunDirectoryError(
                f"{self.plan_path} is of format {stored.format} and this version reads format {FORMAT}; use the "
                "version that made it"
            )
        named = [stored.name, *stored.arms, *(arm.calibration for arm in stored.arms.values())]
        yokes = [arm.yoke for arm in stored.arms.values() if arm.yoke is not None]
        if (
            not stored.arms
            or not stored.seeds
            or not all(map(NAME.fullmatch, named))
            or min(stored.seeds) < 0
            or not set(yokes) <= stored.arms.keys()
        ):
            raise RunDirectoryError(
                f"{self.plan_path} has no arms, no seeds, or names that it cannot have; restore it from a copy"
            )
        return stored


def agreed(folder: ExperimentFolder, plan: Plan) -> Plan:
    """Return the plan of a folder that is there, with the seeds of another plan that it does not have yet.

    Raises
    ------
    ConfigError
        If the arms are not those of the folder.
    """
    there = folder.plan()
    different = list(_different(there, plan))
    if different:
        raise ConfigError(
            f"{folder.path} is an experiment with other arms: {'; '.join(different[:3])}; choose another --out"
        )
    new = [seed for seed in plan.seeds if seed not in there.seeds]
    return replace(there, seeds=(*there.seeds, *new))


def _different(there: Plan, plan: Plan) -> Iterator[str]:
    ours, theirs = ({arm.name: arm for arm in each.arms} for each in (plan, there))
    if list(ours) != list(theirs):
        yield f"arms {', '.join(theirs)} against {', '.join(ours)}"
        return
    for name, arm in ours.items():
        if arm.yoke != theirs[name].yoke:
            yield f"arm {name} is yoked to {theirs[name].yoke or 'none'} against {arm.yoke or 'none'}"
        for text in differences(scientific(theirs[name].config), scientific(arm.config)):
            yield f"in arm {name} {text}"
