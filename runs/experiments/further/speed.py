"""How fast the best networks answer, measured side by side: the arms of a seed in one process, taking turns.

Seconds of one machine mean little by themselves, so that only ratios within a measurement are shown. Nothing of it is
part of a digest: it is kept beside the runs, in ``speed.json``.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from archive_store.reading import open_run
from runs.experiments.comparison import Results
from runs.experiments.folder import ExperimentFolder
from runs.experiments.further import kept as files
from runs.experiments.plan import Plan, Task
from runs.experiments.results import RELATIVE_TIME
from runs.machine.clock import Clock

Seconds = Mapping[str, Mapping[int, float]]  # arm, seed
FILE = "speed.json"
TURNS = 15


def measured(
    folder: ExperimentFolder, plan: Plan, clock: Clock = time.perf_counter
) -> dict[str, dict[int, float]]:
    """Return the seconds that the best network of each finished run takes for the test split: the least of all turns.

    Parameters
    ----------
    folder, plan
        The experiment, whose own code is imported.
    clock
        Monotonic seconds.
    """
    found: dict[str, dict[int, float]] = {arm.name: {} for arm in plan.arms}
    for seed in plan.seeds:
        arms = [arm.name for arm in plan.arms if folder.done(Task("cell", arm.name, seed))]
        answers = {arm: answer for arm in arms if (answer := _answering(folder.cell(arm, seed))) is not None}
        for arm, seconds in zip(answers, turns(list(answers.values()), clock), strict=True):
            found[arm][seed] = seconds
    return found


def turns(works: Sequence[Callable[[], object]], clock: Clock, count: int = TURNS) -> list[float]:
    """Return the least seconds of each piece of work, all of which are done one after the other, again and again.

    Parameters
    ----------
    works
        What is timed.
    clock
        Monotonic seconds.
    count
        How often; the first turn warms up and does not count.
    """
    least = [float("inf")] * len(works)
    for turn in range(count + 1):
        for place, work in enumerate(works):
            begun = clock()
            work()
            if turn:
                least[place] = min(least[place], clock() - begun)
    return least


def ratios(seconds: Seconds, against: str) -> dict[str, dict[int, float]]:
    """Return seconds over those of one arm, seed by seed."""
    base = seconds.get(against, {})
    return {
        arm: {seed: value / base[seed] for seed, value in found.items() if base.get(seed, 0.0) > 0.0}
        for arm, found in seconds.items()
    }


def with_speed(results: Results, relative: Seconds) -> Results:
    """Return results with the ratios of times that were measured."""
    return {
        arm: {
            seed: {**found, RELATIVE_TIME: relative[arm][seed]} if seed in relative.get(arm, {}) else found
            for seed, found in runs.items()
        }
        for arm, runs in results.items()
    }


def keep(folder: ExperimentFolder, seconds: Seconds) -> None:
    """Write a measurement beside the runs."""
    files.keep(folder, FILE, seconds)


def kept(folder: ExperimentFolder) -> dict[str, dict[int, float]]:
    """Read the last measurement; errors are those of `runs.experiments.further.kept.kept`."""
    return files.kept(folder, FILE, float, "--speed")


def _answering(path: Path) -> Callable[[], object] | None:
    """Return a function by which the best network of a run answers the test split; None where no state is kept."""
    from runs.calibration.stored import config_of
    from runs.results.best import newest, organism_of, world_of
    from runs.training.census import outputs

    run = open_run(path)
    state = newest(run)
    if state is None:
        return None
    world = world_of(run, config_of(run.directory))
    organism = organism_of(run, world, state)
    return lambda: outputs(world, organism, world.test)
