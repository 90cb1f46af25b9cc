"""Training sends its work to a device and waits for it once a round, whatever the number of its steps."""

import warnings
from collections import Counter
from dataclasses import replace

import pytest
import torch

from organisms.families import FAMILIES
from organisms.memory import Trace
from runs.training.finiteness import after_training
from runs.training.optimise import train
from runs.training.state import Individual
from runs.training.world import Examples
from tests.fixtures.numberless import Watched, without_branches_of_the_cpu
from tests.fixtures.small_worlds import (
    DEFINED,
    KINDS,
    interface_of,
    populate,
    small_config,
    small_species,
    small_task,
    small_world,
)

CASES = [
    pytest.param(family, variant, id=f"{family} {name}")
    for family, defined in DEFINED.items()
    for name, variant in {"": {}, **defined.variants}.items()
]
SLOTS, NEWBORN = (0, 2, 5), (2,)


def on(device, family, variant):
    """A world of a family and an organism in it, both on a device."""
    task = small_task(*KINDS[0])
    species = small_species(task, family, depth=2, capacity=4, **variant)
    interface = {name: tensor.to(device) for name, tensor in interface_of(species).items()}
    organism = species.organism(interface)
    populate(species, organism, SLOTS)
    split = task.train
    inputs, targets = (torch.from_numpy(array).to(device) for array in (split.inputs, split.targets))
    world = replace(
        small_world(), config=small_config(), task=task, species=species, device=device,
        train=Examples(inputs, targets), interface=interface,
    )  # fmt: skip
    return world, Individual(4, organism, 2, 0, Trace(0.9), None)


def rows(steps, device):
    return torch.zeros(steps, 5, dtype=torch.int64, device=device)


def seen_in(world, individual, steps, newborn=()) -> Counter:
    indices = rows(steps, world.device)
    with Watched() as watched:
        loss = train(world, individual, indices, lambda step: 0.01, newborn)
        assert (
            after_training(individual, loss) is not None
        )  # a device without numbers has none that is finite
    return watched.seen


@pytest.mark.parametrize("newborn", [(), NEWBORN], ids=["", "newborn"])
@pytest.mark.parametrize(("family", "variant"), CASES)
def test_no_step_reads_from_the_device_or_sends_to_it(family, variant, newborn, monkeypatch):
    without_branches_of_the_cpu(monkeypatch)
    world, individual = on(torch.device("meta"), family, variant)
    first = seen_in(world, individual, 1, newborn)
    assert first["read"] == 2  # the losses of the round, and whether all is finite
    for steps in (1, 5):  # once the genes lie on the device nothing goes there but who is newborn
        assert seen_in(world, individual, steps, newborn) == {"read": 2} | ({"sent": 1} if newborn else {})
    individual.organism.pool.retire(SLOTS[0])
    again = seen_in(world, individual, 1, newborn)
    assert again["sent"] > bool(newborn)  # of the layer that has changed, and of no other
    assert again["sent"] < first["sent"]


@pytest.mark.parametrize(("family", "variant"), CASES)
def test_nor_does_a_step_of_children_that_are_trained_in_hosts(family, variant, monkeypatch):
    without_branches_of_the_cpu(monkeypatch)
    world, individual = on(torch.device("meta"), family, variant)
    children, species = individual.organism, world.species
    home = species.organism(world.interface)
    populate(species, home, (1, 4), seed=1)
    stacks = [stack.requires_grad_(True) for stack in children.pool.stacks.values()]
    seen = []
    for _ in range(2):
        with Watched() as watched:
            host = species.host(home, world.train.inputs[:5], world.train.targets[:5])
            losses = species.guest_losses(children, host)
            torch.autograd.grad(losses.sum(), stacks, materialize_grads=True)
        seen.append(watched.seen)
    assert seen[0]["read"] == 0
    assert seen[1] == {}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_is_waited_for_as_often_for_many_steps_as_for_one(family):
    world, individual = on(torch.device("cuda"), family, {})
    train(world, individual, rows(1, world.device), lambda step: 0.01)  # kernels are compiled, genes laid out
    waits = []
    for steps in (1, 6):
        indices = rows(steps, world.device)
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            train(world, individual, indices, lambda step: 0.01, NEWBORN)
        torch.cuda.set_sync_debug_mode("default")
        waits.append(len([each for each in caught if "synchroniz" in str(each.message)]))
    assert waits[0] == waits[1] > 0
