"""What a run needs before it starts: its configuration, data and fingerprint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qd.canonical import plain
from runs import tasks
from runs.config.import_path import imported
from runs.config.schema import Config
from runs.config.schema import plain as plain_config
from runs.machine import fingerprint, settings
from runs.training.build import family_of
from runs.training.world import WorldSpec


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run needs of the outside world before anything is computed or written."""

    config: Config
    corpus: bytes | None
    data: str  # digest of the task
    score_name: str  # of the task
    fingerprint: Mapping[str, Any]
    modules: tuple[str, ...]  # of the user's import paths

    def world(self) -> WorldSpec:
        """Return the world of this run before its calibration."""
        return WorldSpec(plain_config(self.config), self.corpus, self.data)


def prepare(config: Config) -> Prepared:
    """Read the corpus, build the task once and take the fingerprint."""
    settings.prepare()
    for setting, path in users_own(config):
        imported(path, setting)
    modules = tuple(sorted({path.partition(":")[0] for _, path in users_own(config)}))
    corpus = tasks.corpus(config.task)
    task = tasks.load(config.task, corpus)
    family_of(config, task)
    return Prepared(
        config,
        corpus,
        task.digest,
        task.score_name,
        fingerprint.fingerprint(modules, config.execution.device),
        modules,
    )


def users_own(config: Config) -> list[tuple[str, str]]:
    """Give setting and import path of the user's own task, family and measures."""
    named = [("task.name", config.task.name), ("organism.kind", config.organism.kind)]
    named += [("measures", measure) for measure in config.measures]
    return [(setting, path) for setting, path in named if ":" in path]


def described(prepared: Prepared) -> dict[str, Any]:
    """Give what ``environment.json`` holds: the fingerprint, and whose code it was as far as git knows."""
    return {"fingerprint": plain(prepared.fingerprint), "revision": fingerprint.revision()}
