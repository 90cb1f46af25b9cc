import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from qd.measures import MEASURES
from runs.errors import ConfigError, RunError
from runs.training.measures import measured
from runs.training.newborns import found
from tests.fixtures.small_worlds import calibrated_spec, calibrated_world, small_config, small_world


@pytest.fixture
def mine(monkeypatch):
    """A module of the user's."""

    def strength(organism, inputs, targets):
        assert len(inputs) == len(targets)
        return [float(organism.pool.stacks["ov.V"][slot].norm()) for slot, _ in organism.pool.alive()]

    def warmth(organism, inputs, targets):
        return [dict(part.genes)["temperature"] for _, part in organism.pool.alive()]

    module = SimpleNamespace(
        strength=strength,
        warmth=warmth,
        steps=lambda organism, *given: organism.pool.counts.tolist()[:3],
        one=lambda *given: [1.0],
        text=lambda *given: torch.zeros(3, 1),
        none=lambda *given: None,
        words=lambda *given: ["a", "b", "c"],
        frozen=lambda *given: np.broadcast_to(np.float16(0.5), 3),
        tensors=lambda *given: [torch.ones((), requires_grad=True)] * 3,
    )
    monkeypatch.setitem(sys.modules, "mine", module)


def measure(*names):
    world = small_world(small_config(measures=list(names)), interface=calibrated_spec().interface)
    organism = found(world, 0)
    probe = world.species.probe(organism, world.probe.inputs, world.probe.targets)
    return organism, probe, measured(world, organism, probe, world.probe)


def test_by_default_the_measures_are_the_familys_own():
    _, probe, found_ = measure(*MEASURES)
    assert torch.equal(found_, probe.measures)


def test_measures_come_in_the_order_of_the_configuration():
    turned = MEASURES[::-1]
    _, probe, found_ = measure(*turned)
    assert torch.equal(found_, probe.measures.flip(-1))


def test_of_the_familys_measures_those_are_taken_that_are_named(mine):
    _, probe, found_ = measure(MEASURES[3], MEASURES[0])
    assert torch.equal(found_, probe.measures[:, [3, 0]])
    organism, probe, found_ = measure(*MEASURES, "mine:strength", "mine:warmth", "mine:steps")
    assert found_.shape == (3, 8)
    assert torch.equal(found_[:, :5], probe.measures)
    assert found_[:, 6].tolist() == [dict(part.genes)["temperature"] for _, part in organism.pool.alive()]


def test_a_measure_of_ones_own_takes_a_column(mine):
    organism, probe, found_ = measure(*MEASURES[:2], "mine:strength", *MEASURES[3:])
    norms = [float(organism.pool.stacks["ov.V"][slot].norm()) for slot in range(3)]
    assert found_[:, 2].tolist() == norms
    assert found_.dtype == torch.float64
    assert torch.equal(found_[:, [0, 1, 3, 4]], probe.measures[:, [0, 1, 3, 4]])


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("mine:one", r"shape \(1,\)"),
        ("mine:text", r"shape \(3, 1\)"),
    ],
)
def test_a_measure_must_give_a_number_for_each_living_slot(mine, name, what):
    with pytest.raises(RunError, match=rf"measure {name} must give 3 numbers, .*; it gave {what}$"):
        measure(*MEASURES[:4], name)


@pytest.mark.parametrize(("name", "value"), [("mine:frozen", 0.5), ("mine:tensors", 1.0)])
def test_a_measure_may_give_numbers_of_any_kind(mine, name, value):
    assert measure(*MEASURES[:4], name)[2][:, 4].tolist() == [value] * 3


@pytest.mark.parametrize(("name", "what"), [("mine:none", "not None"), ("mine:words", "but holds text")])
def test_a_measure_that_gives_no_numbers_is_named(mine, name, what):
    with pytest.raises(RunError, match=rf"measure {name} must be an array of numbers, {what}"):
        measure(*MEASURES[:4], name)


def test_a_measure_that_is_not_there_is_named(mine):
    with pytest.raises(ConfigError, match=r"measures is 'mine:strenth', but the module 'mine' has no"):
        measure(*MEASURES[:4], "mine:strenth")


def test_the_world_of_the_others_is_untouched():
    assert calibrated_world().config.measures == MEASURES
