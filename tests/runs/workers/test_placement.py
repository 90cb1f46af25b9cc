from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.fitness import Yardstick
from qd.measures import Ranges
from runs.launch import launch
from runs.workers.placement import home, key_of
from tests.benchmarks.placement import simulated
from tests.fixtures.small_runs import digests, small

YARDSTICK = Yardstick(Ranges((0.0,) * 2, (10.0,) * 2), 0.3, 1e9, (0.1,))
CENTROIDS = np.array([[0.1, 0.1], [0.9, 0.9]])
KEYS = [f"cell {number}" for number in range(400)]


@given(st.integers(1, 12), st.integers(0, 2**32), st.randoms())
def test_a_key_has_one_home_in_whatever_order_workers_are_named(count, seed, random):
    workers = [f"trainer-{number}" for number in range(count)]
    shuffled = random.sample(workers, count)
    assert [home(key, workers, seed) for key in KEYS[:20]] == [home(key, shuffled, seed) for key in KEYS[:20]]


def test_when_a_worker_is_lost_its_own_keys_move_and_are_spread():
    workers = [f"trainer-{number}" for number in range(8)]
    before = {key: home(key, workers, 0) for key in KEYS}
    after = {key: home(key, [*workers[:3], *workers[4:]], 0) for key in KEYS}
    moved = [key for key in KEYS if before[key] != after[key]]
    assert moved == [key for key in KEYS if before[key] == "trainer-3"]
    assert len({after[key] for key in moved}) == 7
    counts = [list(before.values()).count(worker) for worker in workers]
    assert min(counts) > 25, "50 of 400 keys each, but for chance"


def test_another_seed_places_otherwise():
    workers = ["a", "b"]
    assert [home(key, workers, 0) for key in KEYS] != [home(key, workers, 1) for key in KEYS]


def placed(placement, organism=3, round=5, measures=((1.0, 2.0), (9.0, 9.0))):
    found = None
    if measures is not None:
        found = SimpleNamespace(records=[SimpleNamespace(measures=row) for row in measures])
    return key_of(placement, organism, round, found, YARDSTICK.ranges, CENTROIDS)


def test_like_behaviour_has_one_key_whoever_has_it():
    assert placed("hash") == placed("hash", organism=7, round=9) == "cell 1"
    assert placed("hash", measures=((1.0, 2.0), (2.0, 1.0))) == "cell 0"


def test_without_a_behaviour_the_organism_is_the_key():
    assert placed("hash", measures=None) == placed("hash", measures=()) == "organism 3"


def test_random_draws_for_each_order_and_load_places_nothing():
    assert placed("random") != placed("random", round=6)
    assert placed("load") is None


@pytest.mark.parametrize("placement", ["hash", "random"])
def test_the_digests_do_not_depend_on_it(placement, undisturbed, tmp_path):
    run = launch(small(f"execution.placement={placement}"), tmp_path / "run")
    assert digests(run) == digests(undisturbed)


def test_by_hash_few_states_move_and_by_rendezvous_few_more_when_a_device_is_lost():
    found = simulated(devices=8, seed=0, rounds=10)
    assert found["hash"].moved < 0.5 * found["random"].moved
    assert found["hash"].moved_at_loss < 0.25 < 0.7 < found["modulo"].moved_at_loss
    assert found["load"].balance == 1.0 < found["hash"].balance
