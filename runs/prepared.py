"""What a run needs before it starts: data, fingerprint, and a pool of trainers."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_store.journal.journal import BASE, Journal
from qd.canonical import canonical, plain
from runs import tasks
from runs.config.import_path import imported
from runs.config.reader import checked
from runs.config.schema import Config, scientific
from runs.config.schema import plain as plain_config
from runs.errors import ConfigError, RunError
from runs.machine import settings
from runs.readable import readable
from runs.training.world import family_of
from runs.workers.pool import InlinePool, Pool

FORMAT = 2  # of the journal's content and the states; part of every digest


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run needs of the outside world before anything is computed or written."""

    config: Config
    corpus: bytes | None
    data: str  # digest of the task
    score_name: str  # of the task
    fingerprint: Mapping[str, Any]
    modules: tuple[str, ...]  # of the user's import paths


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
        settings.fingerprint(modules, config.execution.device),
        modules,
    )


def users_own(config: Config) -> list[tuple[str, str]]:
    """Give setting and import path of the user's own task, family and measures."""
    named = [("task.name", config.task.name), ("organism.kind", config.organism.kind)]
    named += [("measures", measure) for measure in config.measures]
    return [(setting, path) for setting, path in named if ":" in path]


def changed(config: Config, execution: Mapping[str, Any]) -> Config:
    """Give the configuration with other values in its ``execution:`` section."""
    values = plain_config(config)
    values["execution"] |= execution
    other, problems = checked(values)
    if other is None:
        raise ConfigError("; ".join(map(str, problems)))
    return other


def base_text(prepared: Prepared, centroids: str) -> str:
    """Write what round 0 is chained to: format, configuration without execution, data and centroids."""
    return canonical(
        {
            "format": FORMAT,
            "config": scientific(prepared.config),
            "data": prepared.data,
            "centroids": centroids,
        }
    )


def check_format(path: Path, journal: Journal) -> None:
    """Check that a run's journal and states mean what this version takes them for.

    Raises
    ------
    RunError
        If another version wrote them.
    """
    with readable(f"what the journal of {path} begins with"):
        made = json.loads(journal.meta(BASE) or "{}").get("format", FORMAT)
    if made != FORMAT:
        raise RunError(
            f"{path} has the content of format {made} and this version works with format {FORMAT}; "
            "use the version that launched it"
        )


def described(prepared: Prepared) -> dict[str, Any]:
    """Give what ``environment.json`` holds: the fingerprint, and whose code it was as far as git knows."""
    return {"fingerprint": plain(prepared.fingerprint), "revision": settings.revision()}


@contextmanager
def pool_of(prepared: Prepared) -> Iterator[Pool]:
    """Start the pool that the configuration asks for, and let it go in the end."""
    execution = prepared.config.execution
    pool: Pool
    if execution.executor == "inline":
        pool = InlinePool(time.perf_counter)
    else:
        from runs.workers.ray_pool import RayPool

        pool = RayPool(
            workers=workers(prepared.config),
            address=execution.address,
            num_gpus=execution.num_gpus,
            expected=prepared.fingerprint,
            modules=prepared.modules,
            device=execution.device,
            clock=time.monotonic,
        )
    try:
        yield pool
    finally:
        pool.close()


def workers(config: Config) -> int:
    """Say how many trainers: as asked, or one for each core but no more than organisms."""
    asked = config.execution.workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, config.organism.count) if asked == "auto" else asked
