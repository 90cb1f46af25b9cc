"""Measures of components are taken of guests in the reference hosts, the family's own and a user's."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from organisms.pool import Occupant
from qd.measures import DESCRIPTIONS, MEASURES
from runs.errors import ConfigError, RunError
from runs.training.births.newborns import found
from runs.training.build import reference_organism
from runs.training.measures import built_in, measured
from tests.fixtures.small_worlds import calibrated_spec, calibrated_world, small_config, small_world


@pytest.fixture
def mine(monkeypatch):
    """A module of the user's."""

    def strength(organism, inputs, targets):
        assert len(inputs) == len(targets)
        return [float(organism.pool.stacks["ov.V"][slot].norm()) for slot, _ in organism.pool.alive()]

    def warmth(organism, inputs, targets):
        return [dict(part.genes)["temperature"] for _, part in organism.pool.alive()]

    def company(organism, inputs, targets):
        """How many there are, and what the first layer's others write: of the host, not of home."""
        total = float(sum(organism.pool.stacks["ov.V"][slot].norm() for slot, _ in organism.pool.alive()))
        return [total] * sum(1 for _ in organism.pool.alive())

    def numbers(value):
        return lambda organism, *given: [value] * sum(1 for _ in organism.pool.alive())

    module = SimpleNamespace(
        strength=strength,
        warmth=warmth,
        company=company,
        one=lambda *given: [1.0],
        text=lambda *given: torch.zeros(2, 1),
        none=lambda *given: None,
        words=lambda *given: ["a", "b"],
        frozen=lambda organism, *given: np.broadcast_to(
            np.float16(0.5), sum(1 for _ in organism.pool.alive())
        ),
        tensors=numbers(torch.ones((), requires_grad=True)),
    )
    monkeypatch.setitem(sys.modules, "mine", module)


def measure(*names):
    spec = calibrated_spec()
    world = small_world(small_config(measures=list(names)), interface=spec.interface, hosts=spec.hosts)
    organism = found(world, 0)
    assay = world.species.assay(organism, world.hosts, built_in(world))
    return world, organism, assay, measured(world, organism, assay, world.host_organisms, world.probe)


@pytest.mark.parametrize(
    "names", [MEASURES, MEASURES[::-1], (MEASURES[3], MEASURES[0]), ("served_share", "effective_rank")]
)
def test_of_the_familys_measures_those_are_taken_that_are_named_in_that_order(names):
    world, _, assay, rows = measure(*names)
    assert built_in(world) == names
    assert list(assay.measures) == list(names)
    assert rows.dtype == torch.float64
    for place, name in enumerate(names):
        assert torch.equal(rows[:, place], assay.measures[name])


def test_a_measure_of_ones_own_takes_a_column_and_is_of_the_guest(mine):
    world, organism, assay, rows = measure(*MEASURES[:2], "mine:strength", "mine:warmth", *MEASURES[3:])
    norms = [float(organism.pool.stacks["ov.V"][slot].norm()) for slot in range(3)]
    assert rows[:, 2].tolist() == pytest.approx(norms)
    assert rows[:, 3].tolist() == [dict(part.genes)["temperature"] for _, part in organism.pool.alive()]
    assert rows.dtype == torch.float64
    for place, name in ((0, MEASURES[0]), (1, MEASURES[1]), (4, MEASURES[3]), (5, MEASURES[4])):
        assert torch.equal(rows[:, place], assay.measures[name])
    assert built_in(world) == (*MEASURES[:2], *MEASURES[3:])


def test_it_is_given_each_host_with_the_guest_and_leaves_it_as_it_was(mine):
    world, organism, _, rows = measure(MEASURES[0], "mine:company")
    own = [float(organism.pool.stacks["ov.V"][slot].norm()) for slot in range(3)]
    alone = [
        sum(float(host.pool.stacks["ov.V"][slot].norm()) for slot, _ in host.pool.alive())
        for host in world.host_organisms
    ]
    assert rows[:, 1].tolist() == pytest.approx([np.mean(alone) + norm for norm in own])
    for host, state in zip(world.host_organisms, calibrated_spec().hosts, strict=True):
        fresh = reference_organism(world, state).pool
        assert host.pool.occupants == fresh.occupants
        for name, tensor in host.pool.tensors().items():
            assert torch.equal(tensor, fresh.tensors()[name])


def test_a_host_without_a_free_place_is_told_of(mine):
    world, organism, assay, _ = measure(MEASURES[0], "mine:strength")
    full = reference_organism(world, calibrated_spec().hosts[0])
    spare = found(world, 1).pool.genome(0)
    for slot, occupant in enumerate(full.pool.occupants):
        if occupant is None:
            full.pool.graft(slot, spare, Occupant.guest(spare.genes))
    with pytest.raises(
        RunError, match=r"a reference host has no free place in layer 0; lower calibration\.h"
    ):
        measured(world, organism, assay, [full], world.probe)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("mine:one", r"shape \(1,\)"),
        ("mine:text", r"shape \(2, 1\)"),
    ],
)
def test_a_measure_must_give_a_number_for_each_living_slot(mine, name, what):
    with pytest.raises(RunError, match=rf"measure {name} must give 2 numbers, .*; it gave {what}$"):
        measure(*MEASURES[:4], name)


@pytest.mark.parametrize(("name", "value"), [("mine:frozen", 0.5), ("mine:tensors", 1.0)])
def test_a_measure_may_give_numbers_of_any_kind(mine, name, value):
    assert measure(*MEASURES[:4], name)[3][:, 4].tolist() == [value] * 3


@pytest.mark.parametrize(("name", "what"), [("mine:none", "not None"), ("mine:words", "but holds text")])
def test_a_measure_that_gives_no_numbers_is_named(mine, name, what):
    with pytest.raises(RunError, match=rf"measure {name} must be an array of numbers, {what}"):
        measure(*MEASURES[:4], name)


def test_a_measure_that_is_not_there_is_named(mine):
    with pytest.raises(ConfigError, match=r"measures is 'mine:strenth', but the module 'mine' has no"):
        measure(*MEASURES[:4], "mine:strenth")


def test_what_one_layer_cannot_show_is_refused_with_what_there_is():
    with pytest.raises(
        ConfigError, match=r"effect_depth cannot be taken .* needs two layers .* offers atten"
    ):
        measure(*MEASURES[:4], "effect_depth")
    deep = small_world(small_config(measures=["effect_depth", MEASURES[0]], organism={"depth": 2}))
    assert set(deep.species.measures) == set(DESCRIPTIONS)


def test_a_world_may_take_other_measures_than_the_run():
    spec = calibrated_spec()
    assert small_world().measures == small_config().measures
    names = ("effective_rank", "gradient_flow", "served_share")
    world = small_world(interface=spec.interface, hosts=spec.hosts, measures=names)
    organism = found(world, 0)
    assay = world.species.assay(organism, world.hosts, built_in(world))
    assert measured(world, organism, assay, world.host_organisms, world.probe).shape == (3, 3)


def test_the_world_of_the_others_is_untouched():
    assert calibrated_world().config.measures == MEASURES
