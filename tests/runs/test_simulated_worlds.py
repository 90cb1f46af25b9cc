"""The driver in simulated worlds: whatever happens to workers, machines, drivers and disks, the end is the same."""

import random
import statistics
from contextlib import contextmanager

import pytest

from runs.errors import RunError
from runs.pools import Job
from tests import simulated_worlds
from tests.crashes import memory
from tests.fake_trainers import advance
from tests.simulated_pool import FATES, Perils, SimulatedPool
from tests.simulated_worlds import CONFIGURATIONS, LAGS, Trials, drawn, orders, unsynced

SUITE = 2000  # worlds


@pytest.fixture(scope="module")
def trials():
    with unsynced(), memory() as folder:
        yield Trials(folder)


@contextmanager
def large_or(trials, large):
    """Give what small worlds share; large ones have nothing in common and leave nothing behind."""
    if not large:
        yield trials
        return
    with memory() as folder:
        yield Trials(folder)


def test_every_world_ends_with_the_digests_of_the_undisturbed_run(trials, pytestconfig, record_property):
    """A seed that fails is named, and is tried alone by ``--world SEED``."""
    alone, number = pytestconfig.getoption("--world"), pytestconfig.getoption("--worlds")
    large = number is not None
    happened: dict[str, int] = {}
    for seed in range(number or SUITE) if alone is None else [alone]:
        try:
            with large_or(trials, large) as there:
                found = there.check(drawn(seed, large))
        except Exception as error:
            again = f"--world {seed}" + (f" --worlds {number}" if large else "")
            pytest.fail(f"world {seed}: {type(error).__name__}: {error}; alone: {again}")
        for what, times in found.items():
            happened[what] = happened.get(what, 0) + times
    record_property("happened", happened)
    if alone is None:
        assert set(FATES) <= set(happened), "every misfortune was met"
        assert {"driver died", "stopped as asked", "gave up", "starves", "a machine dies"} <= set(happened)


def test_the_worlds_are_about_something():
    worlds = [drawn(seed) for seed in range(SUITE)]
    configurations = [world.config for world in worlds[:CONFIGURATIONS]]
    assert {config.lag for config in configurations} == set(LAGS)
    assert 30 <= statistics.median(orders(config) for config in configurations) <= 50
    assert max(config.archive.cells for config in configurations) <= 64
    assert (min(world.workers for world in worlds), max(world.workers for world in worlds)) == (1, 200)


def test_a_world_is_the_same_each_time(trials):
    """Equal seeds, equal misfortunes: a world that fails can be looked at as often as one likes."""
    assert trials.check(drawn(11)) == trials.check(drawn(11))


def calm(work, **settings):
    peaceful = Perils((), 0.0, (), 1.0)
    return SimulatedPool(work, random.Random(0), peaceful, 2, 1, simulated_worlds.TIMEOUT, **settings)


def test_a_worker_that_computes_otherwise_is_found_by_an_audit(trials, monkeypatch):
    """A test of the test: in a world where one answer in ten is another each time, a run does not end well."""
    seed = next(
        seed
        for seed in range(SUITE)
        if drawn(seed).config.execution.audit == 1 and drawn(seed).perils.chance == 0
    )

    def lying(self, config):
        draw = random.Random(5)

        def work(state, order, genomes):
            shift = 0.1 if draw.random() < 0.1 else 0.0
            return advance(config, state, order, genomes, simulated_worlds.explosions(config) + shift)

        return work

    world = drawn(seed)
    trials.check(world)
    monkeypatch.setattr(Trials, "_work", lying)
    with pytest.raises((RunError, AssertionError), match=r"differ|came out differently|differently"):
        trials.check(world)


def test_time_passes_only_in_waits():
    pool = calm(lambda: ("report", b"state", {}))
    assert (pool.clock(), pool.wait(5.0), pool.clock()) == (0.0, [], 5.0)
    pool.submit(Job("advance", 1, 0, ()), 1, pool.idle[0])
    (event,) = pool.wait(1000.0)
    assert (event.report, pool.fetch(event.payload)) == ("report", b"state")
    assert 5.0 < pool.clock() < 1000.0
