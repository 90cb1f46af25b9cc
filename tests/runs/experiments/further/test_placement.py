"""Simulated placement: small plans that can be worked out by hand, and what holds for any."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_store.reading import open_run
from runs.experiments.further import placement
from runs.experiments.further.placement import (
    RULES,
    Order,
    Sent,
    devices_for,
    orders_of,
    placed,
    simulated,
    studies,
)
from runs.workers.placement import home

DEVICES = ["device 0", "device 1"]


def order(organism, round, flops, key=None):
    return Order(organism, round, flops, dict.fromkeys(RULES, key))


def key_at(device, devices=DEVICES, seed=0):
    """A key whose home is a device."""
    return next(f"key {n}" for n in range(99) if home(f"key {n}", devices, seed) == device)


def test_by_load_the_longest_goes_first_and_whoever_is_idle_does_it():
    orders = [order(0, 1, 1.0), order(1, 1, 3.0), order(2, 1, 2.0)]
    done = simulated(orders, "load", DEVICES, lag=0, seed=0)
    assert done == {
        (1, 1): Sent("device 0", 3.0),
        (1, 2): Sent("device 1", 2.0),
        (1, 0): Sent("device 1", 3.0),
    }


def test_by_hash_an_order_waits_for_its_device_though_another_is_idle():
    own = key_at("device 1")
    orders = [order(0, 1, 2.0, own), order(1, 1, 1.0, own)]
    done = simulated(orders, "hash", DEVICES, lag=0, seed=0)
    assert done == {(1, 0): Sent("device 1", 2.0), (1, 1): Sent("device 1", 3.0)}


@pytest.mark.parametrize(("lag", "end"), [(0, 7.0), (1, 6.0)])
def test_with_a_lag_the_fast_run_ahead_of_the_slow(lag, end):
    """Rounds of 3 and 1, then 1 and 3: at a barrier 3 + 3, but one device has both of the second round's."""
    keys = [key_at(device) for device in DEVICES]
    flops = [(3.0, 1.0), (1.0, 3.0), (2.0, 1.0)] if lag else [(3.0, 1.0), (1.0, 3.0), (1.0, 1.0)]
    orders = [
        order(organism, round, flops[round - 1][organism], keys[organism])
        for round in (1, 2, 3)
        for organism in (0, 1)
    ]
    done = simulated(orders, "hash", DEVICES, lag, seed=0)
    assert max(each.end for each in done.values()) == end


FLOPS = st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=3), min_size=2, max_size=4)


@given(flops=FLOPS, lag=st.integers(0, 2), rule=st.sampled_from(["load", "hash"]), devices=st.integers(1, 4))
@settings(max_examples=60)
def test_every_order_is_done_once_after_what_it_needs_and_no_device_does_two(flops, lag, rule, devices):
    names = [f"device {number}" for number in range(devices)]
    orders = [
        order(organism, round, float(size), None if rule == "load" else f"cell {size}")
        for round, row in enumerate(flops, 1)
        for organism, size in enumerate(row)
    ]
    done = simulated(orders, rule, names, lag, seed=1)
    begun = {(each.round, each.organism): done[each.round, each.organism].end - each.flops for each in orders}
    assert done.keys() == begun.keys()
    for (round, organism), start in begun.items():
        if round > 1:
            assert start >= done[round - 1, organism].end
        seen = round - 1 - lag
        assert all(start >= done[seen, other].end for other in range(3) if seen >= 1)
    for name in names:
        spans = sorted((begun[key], each.end) for key, each in done.items() if each.device == name)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    if devices == 1:
        assert max(each.end for each in done.values()) == sum(map(sum, flops))


def test_a_run_says_where_its_own_orders_would_have_gone(done):
    run = open_run(done.cell("archive", 0))
    orders = orders_of(run)
    assert [(each.round, each.organism) for each in orders] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert [each.keys["load"] for each in orders] == [None] * 4
    assert [each.keys["hash"] for each in orders[:2]] == ["organism 0", "organism 1"]
    assert orders[2].keys["hash"].startswith("cell ")
    census = run.census().set_index(["round", "organism"])
    assert len(census) == 4
    found = placed(run, 2)
    assert set(found) == set(RULES)
    for each in found.values():
        assert set(each) == {metric.name for metric in placement.METRICS}
        assert 1 <= each["balance"] <= each["makespan"] + 1e-9
        assert 0 <= each["transfers"] <= 1
        # Of two devices one is left: what lay on the other moves.
        assert each["moved_at_loss"] == pytest.approx(0.5)
    assert placed(run, 2) == found


def test_an_experiment_compares_the_rules_over_its_seeds(done):
    first, second = studies(done, done.plan())
    assert first.title == "placement of the orders of archive on 2 devices, simulated"
    assert second.name == "placement of static"
    assert set(first.alternatives) == set(RULES)
    assert {tuple(sorted(by_seed)) for by_seed in first.alternatives.values()} == {(0, 1)}
    assert first.against == "random"


def test_four_organisms_have_a_device():
    assert [devices_for(count) for count in (1, 8, 16, 64)] == [2, 2, 4, 16]
