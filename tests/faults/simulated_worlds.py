"""Runs in miniature on a simulated pool: worlds that a seed makes, and the one thing that all must agree on.

A world has a configuration, workers, machines, misfortunes of its own, and a driver that is killed, stopped or
gives up now and then and is resumed. Between two drivers a disk may lose or spoil files that can be made again.
Whatever happens, the run must end with the digests of the same configuration where nothing happens.
"""

import multiprocessing
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from archive_store import durable
from archive_store.journal import connection
from archive_store.run_directory import RunDirectory
from qd.canonical import canonical, sha256
from qd.emitters.contest import Contest
from runs.config.schema import Config
from runs.errors import RunError, Stopped
from runs.rounds.commit import forget_old_states
from runs.session import RunSession, restore
from tests.faults.crashes import memory
from tests.faults.fake_trainers import answer, calibration
from tests.faults.killed_drivers import LATE
from tests.faults.simulated_pool import DriverDied, Perils, SimulatedPool, drawn_perils
from tests.fixtures.miniature import begin, miniature, prepared, world

LAGS = (0, 1, 2, 5)
CONFIGURATIONS = 48  # different ones in the suite, each of which is run undisturbed once
MOST_DRIVERS = 3  # that a world may wear out; then it leaves the run in peace
TIMEOUT = 20.0  # virtual seconds


@dataclass(frozen=True, slots=True)
class World:
    """Everything about a world that its seed decides."""

    seed: int
    config: Config
    workers: int
    machines: int
    perils: Perils
    drivers_die: bool
    stops: bool
    disk_spoils: float  # chance of each file that can be made again, between two drivers


def drawn(seed: int, large: bool = False) -> World:
    """Make the world of a seed; the configurations of `large` ones are many and their populations larger."""
    draw = random.Random(f"world {seed}")
    config = configuration(seed, True) if large else configuration(seed % CONFIGURATIONS, False)
    return World(
        seed=seed,
        config=config,
        workers=draw.choice((1, 2, 3, 8, draw.randint(1, 200))),
        machines=draw.randint(1, 4),
        perils=drawn_perils(draw),
        drivers_die=draw.random() < 0.2,
        stops=draw.random() < 0.2,
        disk_spoils=draw.choice((0.0, 0.0, 0.1, 0.5)),
    )


@lru_cache(CONFIGURATIONS)
def configuration(seed: int, large: bool) -> Config:
    """Draw a configuration: about 40 orders, or populations up to 50."""
    draw = random.Random(f"configuration {seed} {large}")
    return miniature(
        **{
            "seed": seed,
            "rounds": draw.randint(3, 20 if large else 9),
            "lag": draw.choice(LAGS),
            "births": draw.choice(("archive", "archive", "genes", "clone", "random")),
            "organism.count": draw.randint(2, 50 if large else 11),
            "organism.capacity": 6 if large else 4,
            "organism.initial": 4 if large else 2,
            "lifecycle.min_alive": 1,
            "lifecycle.slow_every": draw.randint(1, 4),
            "emitters.children": draw.choice((0, 3, 7)),
            "archive.rescore_every": draw.choice(("null", "null", 2)),
            "archive.cells": draw.randint(8, 256 if large else 64),
            "execution.checkpoint_every": draw.randint(1, 6),
            "execution.audit": draw.choice((0.0, 0.0, 0.1, 1.0)),
            "execution.attempts": draw.choice((3, 6)),
            "execution.order_timeout": TIMEOUT,
            "execution.placement": draw.choice(("load", "hash", "random")),
        }
    )


def explosions(config: Config) -> float:
    """Choose which share of a configuration's rounds is quarantined."""
    return (0.0, 0.0, 0.1, 0.6)[config.seed % 4]


def orders(config: Config) -> int:
    return config.rounds * config.organism.count


class Trials:
    """Worlds that share what does not depend on misfortune: templates, undisturbed digests, answers to orders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._templates: dict[str, Path] = {}
        self._wanted: dict[str, dict[int, str]] = {}
        self._known: dict[tuple[str, str], Any] = {}

    def check(self, world: World) -> dict[str, int]:
        """Let a run live through a world and compare; give what happened to it.

        Raises
        ------
        AssertionError
            If its digests are not those of the undisturbed run.
        """
        wanted = self._undisturbed(world.config)
        with self._begun(world.config) as run:
            happened = live(world, run, self._work(world.config))
            assert digests(run) == wanted, f"world {world.seed}: the digests differ"
        return happened

    def _undisturbed(self, config: Config) -> dict[int, str]:
        key = config.model_dump_json()
        if key not in self._wanted:
            calm = World(0, config, 1, 1, Perils((), 0.0, (), 1.0), False, False, 0.0)
            with self._begun(config) as run:
                live(calm, run, self._work(config))
                self._wanted[key] = digests(run)
        return self._wanted[key]

    @contextmanager
    def _begun(self, config: Config) -> Iterator[Path]:
        key = config.model_dump_json()
        if key not in self._templates:
            self._templates[key] = self._folder / f"template-{len(self._templates)}"
            begin(self._templates[key], config)
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            yield Path(shutil.copytree(self._templates[key], Path(folder) / "run"))

    def _work(self, config: Config) -> Callable[..., Any]:
        """Do an order, or remember what it came to: equal values, equal answers."""
        key = config.model_dump_json()

        def work(*arguments: Any) -> Any:
            values = (key, sha256(" ".join(map(_told, arguments))))
            if values not in self._known:
                self._known[values] = answer(config, *arguments, explodes=explosions(config))
            return self._known[values]

        return work


def _told(argument: Any) -> str:
    """Tell the value of an argument; genomes are known by their digests."""
    if isinstance(argument, dict):
        return f"{sorted(argument)}"
    if isinstance(argument, Contest):
        return f"{argument.held.tolist()}"
    return repr(argument) if isinstance(argument, (bytes, tuple)) else canonical(argument)


def live(world: World, run: Path, work: Callable[..., Any]) -> dict[str, int]:
    """Carry a run that has begun to its end, with as many drivers as it takes."""
    draw = random.Random(f"fate {world.seed}")
    happened: dict[str, int] = {}
    now = 0.0
    for number in range(MOST_DRIVERS + 1):
        in_peace = number == MOST_DRIVERS
        pool = SimulatedPool(
            work=work,
            draw=draw,
            perils=Perils((), 0.0, (), 1.0) if in_peace else world.perils,
            size=world.workers,
            machines=world.machines,
            timeout=TIMEOUT,
            now=now,
            ends_at=draw.randint(1, 60) if world.drivers_die and not in_peace else None,
        )
        stop_at = now + draw.expovariate(1 / 30) if world.stops and not in_peace else float("inf")
        end = drive(world.config, run, pool, stop_at)
        now = pool.now
        for what, times in pool.happened.items():
            happened[what] = happened.get(what, 0) + times
        if end is None:
            return happened
        happened[end] = happened.get(end, 0) + 1
        spoil(run, world.disk_spoils, draw)
    raise AssertionError(f"world {world.seed}: a run that is left in peace comes to its end")


def drive(config: Config, run: Path, pool: SimulatedPool, stop_at: float) -> str | None:
    """Go on with a run as `runs.resume.carry_on` does; say what ended the driver, or None at the run's end."""
    directory = RunDirectory.open(run)
    with directory.journal(readonly=False) as journal:
        journal.verify_chain()
        going = RunSession(prepared(config), directory, journal, calibration(), world(config))
        restore(going.ledger, journal)
        directory.recover()
        forget_old_states(journal, directory.blobs)
        going.attach(pool, pool.clock)
        try:
            going.driver(stop=lambda: pool.now >= stop_at).run()
        except DriverDied:
            return "driver died"
        except Stopped:
            return "stopped as asked"
        except RunError as error:
            if "the run can be resumed" not in str(error):
                raise
            return "gave up"
    return None


def spoil(run: Path, chance: float, draw: random.Random) -> None:
    """Lose or damage states and genomes; nothing of the calibration, which only a copy brings back."""
    directory = RunDirectory.open(run)
    with directory.journal() as journal:
        event = next(iter(journal.events(0, "calibration"))).value
    kept = {event["interface"], event["centroids"], *event["hosts"]}
    for digest in list(directory.blobs.digests()):
        if digest not in kept and draw.random() < chance:
            path = directory.blobs.path(digest)
            if draw.random() < 0.5:
                path.unlink()
            else:
                path.write_bytes(path.read_bytes()[:-1] + b"?")


def digests(run: Path) -> dict[int, str]:
    with RunDirectory.open(run).journal() as journal:
        journal.verify_chain()
        return journal.rounds()


def survived(seeds: Sequence[int], large: bool = False) -> tuple[dict[str, int], list[tuple[int, str]]]:
    """Try worlds one after the other; give all that happened in them, and the seeds that fail with their errors.

    Small worlds share what does not depend on misfortune; large ones have nothing in common.
    """
    happened: dict[str, int] = {}
    failed = []
    with unsynced(), memory() as folder:
        shared = Trials(folder)
        for seed in seeds:
            try:
                found = alone(seed) if large else shared.check(drawn(seed))
            except Exception as error:
                failed.append((seed, f"{type(error).__name__}: {error}"))
                continue
            for what, times in found.items():
                happened[what] = happened.get(what, 0) + times
    return happened, failed


def alone(seed: int) -> dict[str, int]:
    """Try one large world and leave nothing behind."""
    with memory() as folder:
        return Trials(folder).check(drawn(seed, large=True))


def survived_by_all(
    seeds: Sequence[int], large: bool = False
) -> tuple[dict[str, int], list[tuple[int, str]]]:
    """Try worlds as `survived` does, in a process for each core."""
    cores = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *LATE])
    happened: dict[str, int] = {}
    failed = []
    with ProcessPoolExecutor(cores, context) as pool:
        parts = [seeds[start::cores] for start in range(cores)]
        for found, bad in pool.map(survived, parts, [large] * cores):
            failed += bad
            for what, times in found.items():
                happened[what] = happened.get(what, 0) + times
    return happened, sorted(failed)


@contextmanager
def unsynced() -> Iterator[None]:
    """Do without the disk's assurances for a while: in these worlds no power is cut."""
    sync, mode = durable.os.fsync, connection._set_mode

    def hasty(database: Any, path: Path) -> None:
        database.execute("PRAGMA journal_mode = MEMORY")
        database.execute("PRAGMA synchronous = OFF")

    durable.os.fsync, connection._set_mode = lambda descriptor: None, hasty
    try:
        yield
    finally:
        durable.os.fsync, connection._set_mode = sync, mode
