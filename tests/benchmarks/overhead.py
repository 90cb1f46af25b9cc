"""What the harness costs on top of plain training: one digits run against its organisms trained alone.

Both do the same optimizer steps on the same organisms with the same function, in one process, one thread.
The answer is checked first: without births and deaths, a run's organisms must end exactly where plain
training ends.

Then what it costs to measure, and to tell of it: the seconds within the functions that do so, as a share of the run's
time after calibration. Two runs differ by more than that from one another, so that their ratio would not show it.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runs.machine import settings

settings.prepare()

from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from organisms.memory import Trace
from runs import trainer
from runs.calibration.stored import journaled, with_calibrated
from runs.config.reader import load
from runs.config.schema import Config
from runs.launch import launch
from runs.prepared import prepare
from runs.recording import Recording
from runs.rounds import commit
from runs.rounds.timekeeping import Timekeeper
from runs.training.births.newborns import found
from runs.training.build import build
from runs.training.optimise import batches, learning_rate, train
from runs.training.state import Individual, decode_state
from runs.training.world import World
from runs.workers.occupancy import Occupancy

SMALL = ("organism.count=4", "rounds=8", "execution.executor=inline", "execution.checkpoint_every=8")


def main() -> None:
    """Check, measure, print."""
    with tempfile.TemporaryDirectory() as folder:
        alike = launch(
            load(
                "digits",
                (*SMALL, "births=none", "lifecycle.warmup=1", "lifecycle.gentle=1", "emitters.children=0"),
            ),
            Path(folder) / "a",
        )
        world = world_of(alike)
        plain = [train_plainly(world, organism) for organism in range(4)]
        check_equal(alike, world, [individual for individual, _ in plain])
        run = launch(load("digits", SMALL), Path(folder) / "b")
        report(run, statistics.median(step for _, seconds in plain for step in seconds))
        observed(Path(folder))


def world_of(run: Path) -> World:
    """Rebuild the world that a run was made in."""
    directory = RunDirectory.open(run)
    config = load(str(directory.config_path))
    with directory.journal() as journal:
        return build(
            with_calibrated(prepare(config).world(), journaled(directory, journal)[1], directory.blobs)
        )


def train_plainly(world: World, number: int) -> tuple[Individual, list[float]]:
    """Train an organism as the run does, with nothing in between; give the seconds of each round's steps."""
    config: Config = world.config
    steps = config.training.steps_per_round
    individual = Individual(number, found(world, number), 0, 0, Trace(config.training.ema), None)
    rate, seconds = learning_rate(world, steps * config.rounds), []
    for round in range(1, config.rounds + 1):
        started = time.perf_counter()
        train(world, individual, batches(world, number, round, steps), rate)
        seconds.append(time.perf_counter() - started)
    return individual, seconds


def check_equal(run: Path, world: World, individuals: list[Individual]) -> None:
    """Compare the run's last states with the plainly trained organisms, bit for bit."""
    directory = RunDirectory.open(run)
    with directory.journal() as journal:
        newest = {state.organism: state for state in journal.states() if state.round == world.config.rounds}
    for individual in individuals:
        kept = decode_state(world, directory.blobs.get(newest[individual.number].digest))
        for name, tensor in kept.organism.pool.tensors().items():
            assert tensor.equal(individual.organism.pool.tensors()[name]), (
                f"{individual.number}: {name} differs"
            )


def report(run: Path, plain: float) -> None:
    """Print medians over rounds and organisms, and the ratio of the whole to plain training."""
    timings = open_run(run).timings()
    of_orders = timings[timings["organism"].notna()]
    medians = of_orders.groupby("name")["seconds"].median()
    wall = timings[(timings["name"] == "wall") & (timings["round"] > 0)]["seconds"].sum()
    orders = len(of_orders[of_orders["name"] == "total"])
    emitting = timings[timings["name"] == "emit_total"]["seconds"].sum()
    driver = (wall - emitting) / orders - of_orders[of_orders["name"] == "total"]["seconds"].mean()
    print(f"plain training, one round of one organism   {plain * 1e3:8.1f} ms")
    parts = [
        ("training in the harness", medians["train"]),
        ("ablations", medians["probe"]),
        ("assay and measures in the hosts", medians["assay"]),
        ("genomes", medians["genomes"]),
        ("state in, births, deaths", medians["prepare"]),
    ]
    parts += [("state out, validation", medians["total"] - sum(seconds for _, seconds in parts))]
    parts += [("decisions, archive, journal", driver)]
    for name, seconds in parts:
        print(f"{name:<42}  {seconds * 1e3:8.1f} ms  {seconds / plain:6.1%}")
    apart = sum(seconds for _, seconds in parts[1:])
    for steps in (1, 2):
        ratio = (steps * medians["train"] + apart) / (steps * plain)
        print(f"harness against plain training at {50 * steps:3} steps a round  {ratio:6.2f} x")
    print(f"emitters, share of the run's time after calibration       {emitting / wall:6.1%}")


MEASURING = (
    (Timekeeper, "begin"),
    (Timekeeper, "timings"),
    (commit, "memory_of"),
    (commit, "incident_of"),
    (trainer, "peak_memory"),
    *((Occupancy, name) for name in ("see", "begin", "end", "idle")),
)
TELLING = tuple((Recording, name) for name in ("answered", "committed", "stands", "happened", "ended"))
SETTINGS = {
    "measuring, which is always done": ((), MEASURING),
    "metrics=file": (("execution.metrics=file",), TELLING),
    "metrics=prometheus, asked by nobody": (("execution.metrics=prometheus://127.0.0.1:auto",), TELLING),
    "trace=trace.json": (("execution.trace=trace.json",), TELLING),
    "metrics=file and trace=trace.json": (("execution.metrics=file", "execution.trace=trace.json"), TELLING),
}
TIMES = 3  # runs of each
SMALLER = (  # with fewer orders, each as long as those of `digits`
    *SMALL,
    "rounds=4",
    "organism.count=2",
    "emitters.children=24",
    "calibration.steps=50",
    "calibration.organisms=4",
    "validity.gate=off",
)


def observed(folder: Path) -> None:
    """Print what share of a run's time goes into measuring it, and into telling of it: medians of some runs."""
    alone = open_run(launch(load("digits", SMALLER), folder / "alone")).digest()
    for name, (overrides, functions) in SETTINGS.items():
        shares = []
        for number in range(TIMES):
            place = folder / f"{len(name)}-{number}"
            with timed(functions) as seconds:
                launch(load("digits", (*SMALLER, *overrides)), place, tell=lambda sentence: None)
            assert open_run(place).digest() == alone, "who watches a run must not change it"
            timings = open_run(place).timings()
            wall = timings[(timings["name"] == "wall") & (timings["round"] > 0)]["seconds"].sum()
            shares.append(sum(seconds) / wall)
        print(f"{name:<42}  {statistics.median(shares):8.3%} of the run's time")


@contextmanager
def timed(functions: tuple[tuple[Any, str], ...]) -> Iterator[list[float]]:
    """Let functions note how long each of their calls takes, those alone that are called by none of the others."""
    seconds: list[float] = []
    depth = 0

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            nonlocal depth
            depth, started = depth + 1, time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                depth -= 1
                if depth == 0:
                    seconds.append(time.perf_counter() - started)

        return wrapped

    before = [(owner, name, vars(owner).get(name)) for owner, name in functions]
    for owner, name in functions:
        setattr(owner, name, noting(getattr(owner, name)))
    try:
        yield seconds
    finally:
        for owner, name, function in before:
            if function is None:
                delattr(owner, name)  # it was inherited
            else:
                setattr(owner, name, function)


if __name__ == "__main__":
    main()
