"""What a run needs before it starts: its configuration, data and fingerprint."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qd.canonical import plain
from runs import tasks
from runs.config.import_path import imported
from runs.config.schema import Config, own_options
from runs.config.schema import plain as plain_config
from runs.machine import fingerprint, settings
from runs.machine.imports import check_named, with_imports
from runs.training.build import family_of
from runs.training.world import WorldSpec


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run needs before anything is computed or written."""

    config: Config
    corpus: bytes | None
    data: str  # digest of the task
    score_name: str  # of the task
    fingerprint: Mapping[str, Any]
    modules: tuple[
        str, ...
    ]  # of the user's: those of import paths and all that they import, by top-level name

    def world(self) -> WorldSpec:
        """Return the specification of this run's world before its calibration."""
        return WorldSpec(plain_config(self.config), self.corpus, self.data)


def prepare(config: Config) -> Prepared:
    """Read the corpus, build task and family once to check them, and take the fingerprint.

    Raises
    ------
    ConfigError
        If any of it cannot be used, or code of the user's own loads a module that its source does not name.
    """
    settings.prepare()
    before = frozenset(sys.modules)
    for setting, path in users_own(config):
        imported(path, setting)
    corpus = tasks.corpus(config.task)
    task = tasks.load(config.task, corpus)
    family_of(config, task)
    modules = with_imports(path.partition(":")[0] for _, path in users_own(config))
    check_named(modules, before)
    return Prepared(
        config,
        corpus,
        task.digest,
        task.score_name,
        fingerprint.fingerprint(modules, config.execution.device),
        modules,
    )


def users_own(config: Config) -> list[tuple[str, str]]:
    """Return setting and import path of all that is a user's own: task, family, measures, losses, emitters, kernel."""
    named = [("task.name", config.task.name), ("organism.kind", config.organism.kind)]
    kind = config.organism.kind
    family = imported(kind, "organism.kind") if ":" in kind else None
    # A configuration that imports nothing has not the family's options.
    options = getattr(family, "options", None)
    named += own_options(config, None if family is None else getattr(options, "own_code", ()))
    named += [("measures", measure) for measure in config.measures]
    named += [("training.loss.own", loss) for loss in config.training.loss.own]
    named += [("emitters.kinds", emitter) for emitter in config.emitters.kinds]
    return [(setting, path) for setting, path in named if ":" in path]


def described(prepared: Prepared) -> dict[str, Any]:
    """Return what ``environment.json`` holds: the fingerprint, and the git revision of the code where there is one."""
    return {"fingerprint": plain(prepared.fingerprint), "revision": fingerprint.revision()}
