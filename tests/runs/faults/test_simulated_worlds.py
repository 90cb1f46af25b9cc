"""The driver in simulated worlds: whatever happens to workers, machines, drivers and disks, the end is the same."""

import random
import statistics
from dataclasses import replace

import pytest

from runs.errors import RunError
from runs.training.answer import RoundReport
from runs.workers.jobs import Job
from tests.faults import simulated_worlds
from tests.faults.crashes import memory
from tests.faults.fake_trainers import answer
from tests.faults.simulated_pool import FATES, Perils, SimulatedPool
from tests.faults.simulated_worlds import (
    CONFIGURATIONS,
    LAGS,
    Trials,
    drawn,
    orders,
    survived,
    survived_by_all,
    unsynced,
)

SUITE = 800  # worlds; `make chaos` tries more and larger ones
SAMPLE = 40  # of them, in which all misfortunes are met


@pytest.fixture(scope="module")
def trials():
    with unsynced(), memory() as folder:
        yield Trials(folder)


def test_every_world_ends_with_the_digests_of_the_undisturbed_run(pytestconfig, record_property):
    """A seed that fails is named, and is tried alone by ``--world SEED``."""
    alone, number = pytestconfig.getoption("--world"), pytestconfig.getoption("--worlds")
    suite = SAMPLE if pytestconfig.getoption("--sample") else SUITE
    large = number is not None
    if alone is not None:
        happened, failed = survived([alone], large)
    else:
        happened, failed = survived_by_all(range(number or suite), large)
    record_property("happened", happened)
    for seed, error in failed[:1]:
        again = f"--world {seed}" + (f" --worlds {number}" if large else "")
        pytest.fail(f"{len(failed)} worlds fail, the first is {seed}: {error}; alone: pytest {again}")
    if alone is None:
        assert set(FATES) <= set(happened), "every misfortune was met"
        assert {"driver died", "stopped as asked", "gave up", "starves", "a machine dies"} <= set(happened)


def test_the_worlds_are_about_something():
    worlds = [drawn(seed) for seed in range(SUITE)]
    configurations = [world.config for world in worlds[:CONFIGURATIONS]]
    assert {config.lag for config in configurations} == set(LAGS)
    assert 30 <= statistics.median(orders(config) for config in configurations) <= 50
    assert max(config.archive.cells for config in configurations) <= 64
    assert min(world.workers for world in worlds) == 1
    assert 190 <= max(world.workers for world in worlds) <= 200


def test_a_world_is_the_same_each_time(trials):
    """Equal seeds, equal misfortunes: a world that fails can be looked at as often as one likes."""
    assert trials.check(drawn(11)) == trials.check(drawn(11))


def calm(work, **settings):
    peaceful = Perils((), 0.0, (), 1.0)
    return SimulatedPool(work, random.Random(0), peaceful, 2, 1, simulated_worlds.TIMEOUT, **settings)


def test_a_worker_that_computes_otherwise_is_found_by_an_audit(trials, monkeypatch):
    """A test of the test: where one answer in ten is a little different, a run does not end well."""
    seed = next(
        seed
        for seed in range(SUITE)
        if drawn(seed).config.execution.audit == 1 and drawn(seed).perils.chance == 0
    )

    def lying(self, config):
        draw = random.Random(5)

        def work(*arguments):
            report, state, genomes = answer(config, *arguments, explodes=simulated_worlds.explosions(config))
            if not isinstance(report, RoundReport):
                return report, state, genomes
            loss = report.census.probe_loss + (1e-12 if draw.random() < 0.1 else 0.0)
            return replace(report, census=replace(report.census, probe_loss=loss)), state, genomes

        return work

    world = drawn(seed)
    trials.check(world)
    monkeypatch.setattr(Trials, "_work", lying)
    with pytest.raises(RunError, match="came out differently on a second worker"):
        trials.check(world)


def test_time_passes_only_in_waits():
    pool = calm(lambda: ("report", b"state", {}))
    assert (pool.clock(), pool.wait(5.0), pool.clock()) == (0.0, [], 5.0)
    pool.submit(Job("advance", 1, 0, ()), 1, pool.idle[0])
    (event,) = pool.wait(1000.0)
    assert (event.report, pool.fetch(event.payload)) == ("report", b"state")
    assert 5.0 < pool.clock() < 1000.0
