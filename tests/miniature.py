"""Whole runs in miniature: real ledger, driver, dispatcher, journal, blobs and run directory, made-up organisms.

Nothing is calibrated or trained (`tests.fake_trainers.advance`), so that a run of three organisms and five
rounds, in which births, deaths and three checkpoints happen, takes a few hundredths of a second.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archive_store import durable
from archive_store.run_directory import RunDirectory
from runs.config import Config, to_yaml
from runs.config import plain as plain_config
from runs.config_reader import read_config
from runs.driver import Conditions
from runs.launch import Open, carry_on, placed, silent, write_round_0
from runs.pools import Done, Event, Handle, Job, Pool
from runs.prepared import Prepared
from runs.progress import Progress
from runs.world import WorldSpec
from tests.fake_trainers import advance, calibration, ledger_config
from tests.small_runs import contents, digests

Reporter = Callable[[Progress], None]


class MiniaturePool:
    """One worker, this process, whose world is the configuration alone."""

    workers = ("miniature",)

    def __init__(self, config: Config) -> None:
        self._config = config
        self._waiting: list[tuple[Job, int]] = []

    @property
    def idle(self) -> Sequence[str]:
        return () if self._waiting else self.workers

    def configure(self, spec: WorldSpec) -> None:
        assert spec == world(self._config), "the world is that of round 0"

    def submit(self, job: Job, attempt: int, worker: str) -> None:
        self._waiting.append((job, attempt))

    def wait(self, seconds: float) -> list[Event]:
        job, attempt = self._waiting.pop()
        return [Done(job, attempt, *advance(self._config, *job.arguments), worker="miniature")]

    def replace(self, worker: str) -> None:
        raise AssertionError("it always answers")

    def fetch(self, handle: Handle) -> Any:
        return handle

    def close(self) -> None:
        """There is nothing to let go."""


@contextmanager
def pool_for(config: Config) -> Iterator[Pool]:
    yield MiniaturePool(config)


def miniature(**values: Any) -> Config:
    """Configure three organisms, and checkpoints after rounds 2, 4 and 5, the last of which removes the first."""
    return ledger_config(**values)


def world(config: Config) -> WorldSpec:
    """Specify a world whose interface and hosts are some bytes that round 0 has to keep."""
    return WorldSpec(plain_config(config), None, "0" * 64, b"interface", (b"host 0", b"host 1", b"host 2"))


def prepared(config: Config) -> Prepared:
    return Prepared(config, None, "0" * 64, "accuracy", {}, ())


def begin(folder: Path, config: Config) -> None:
    """Make a run directory that holds round 0, as `runs.launch.started` does."""
    with placed(folder) as partial:
        directory = RunDirectory.create(partial, to_yaml(config), {"fingerprint": {}})
        write_round_0(directory, prepared(config), calibration(), world(config), 0.0)


def launch(folder: Path, config: Config, report: Reporter = silent) -> None:
    """Carry a new run to its end, as `runs.launch.launch` does."""
    begin(folder, config)
    drive(folder, config, report)


def drive(folder: Path, config: Config, report: Reporter = silent) -> None:
    """Carry a run that has just begun to its end."""
    directory = RunDirectory.open(folder)
    with directory.journal(readonly=False) as journal, pool_for(config) as pool:
        run = Open(prepared(config), directory, journal, calibration(), world(config))
        run.attach(pool)
        run.driver(Conditions(time.monotonic, report)).run()
        run.finish()


def resume(folder: Path, report: Reporter = silent) -> None:
    """Carry a run that was cut off to its end, as `runs.launch.resume` does."""
    directory = RunDirectory.open(folder)
    if directory.finished():
        durable.sync_directory(folder)
        return
    config = read_config(directory.config_path)
    carry_on(directory, prepared(config), pool_for(config), report)


def outcome(folder: Path) -> dict[str, Any]:
    """Check what a finished run has to be and give all of it that must not depend on what befell it."""
    directory = RunDirectory.open(folder)
    assert directory.finished(), "a run that came to its end has a manifest"
    directory.check_manifest()
    assert not list(folder.rglob(f"*{durable.PARTIAL}")), "nothing half-written is left"
    beside = {path.name for path in folder.iterdir()}
    assert beside == {"blobs", "config.yaml", "environment.json", "journal.sqlite", "manifest.json"}
    blobs = list(directory.blobs.digests())
    for digest in blobs:
        directory.blobs.get(digest)
    return {"digests": digests(folder), "contents": contents(folder), "blobs": blobs}
