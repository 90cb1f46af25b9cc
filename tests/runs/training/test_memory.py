"""What a step takes, counted, against sums by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from organisms.pool import Pool, Vector
from runs.trainer import advance
from runs.training.memory import StepMemory
from tests.fixtures.small_worlds import (
    calibrated_world,
    examples_of,
    order,
    small_organism,
    small_species,
    small_task,
)

FLOAT = 4  # bytes


def counter(slots=3, size=5):
    """A count of steps of an organism that has one vector in each slot, and reads an interface of 7 numbers."""
    organism = SimpleNamespace(
        pool=Pool("any", (Vector("v", size),), 1, slots), interface={"read": torch.ones(7)}
    )
    organism.pool.stacks["v"].requires_grad_(True)
    return StepMemory(organism), organism


def test_an_idle_step_takes_parameters_gradients_moments_and_counts():
    memory, _ = counter()
    with memory.step():
        pass
    assert memory.largest == FLOAT * (4 * 3 * 5 + 3)


def test_to_these_comes_every_storage_that_is_kept_once_but_not_what_stands_there_anyway():
    memory, organism = counter()
    v, read, x = organism.pool.stacks["v"], organism.interface["read"], torch.ones(2, 3, 5)
    with memory.step():
        y = (v * x).exp()  # keeps x, v and the exponential
        (y * y).sum()  # the exponential again
        (v[0, 0] * read).sum()  # the interface
    assert memory.largest == FLOAT * (4 * 3 * 5 + 3 + 2 * 2 * 3 * 5)


def test_the_largest_step_counts():
    memory, organism = counter()
    for examples in (2, 9, 4):
        with memory.step():
            (organism.pool.stacks["v"] * torch.ones(examples, 3, 5)).sum()
    assert memory.largest == FLOAT * (4 * 3 * 5 + 3 + 9 * 3 * 5)


@pytest.mark.parametrize("family", ["pseudopods", "towers"])
def test_a_round_counts_where_there_is_a_budget_and_comes_out_the_same(family):
    world = calibrated_world(family)
    lifecycle = world.config.lifecycle.model_copy(update={"memory_budget": 1})
    counting = replace(world, config=world.config.model_copy(update={"lifecycle": lifecycle}))
    (plain, state, _), (counted, other, _), (again, _, _) = (
        advance(each, None, order(), {}, lambda: 0.0) for each in (world, counting, counting)
    )
    assert plain.census.memory is None
    assert counted.census.memory == again.census.memory > 0
    assert state == other
    assert replace(counted.census, memory=None) == plain.census


@pytest.mark.parametrize(
    ("family", "options", "falls"),
    [
        ("pseudopods", {}, False),
        ("pseudopods", {"compact": True}, True),
        ("towers", {}, True),
        ("flow", {}, True),
    ],
)
def test_a_step_takes_less_with_every_death_where_empty_slots_are_left_out(family, options, falls):
    species = small_species(small_task(), family, capacity=4, **options)
    organism, taken = small_organism(species, (0, 1, 2, 3)), []
    for stack in organism.pool.stacks.values():
        stack.requires_grad_(True)
    for slot in (0, 3, 1):
        memory = StepMemory(organism)
        with memory.step():
            organism.training_losses(*examples_of(species.task)).mean()
        taken.append(memory.largest)
        with torch.no_grad():
            organism.pool.retire(slot)
    assert (taken == sorted(set(taken), reverse=True)) == falls


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_allocates_no_less_than_is_counted():
    organism = SimpleNamespace(
        pool=Pool("any", (Vector("v", 2**20),), 1, 3, torch.device("cuda")), interface={}
    )
    stack, before = organism.pool.stacks["v"].requires_grad_(True), torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    memory, x = StepMemory(organism), torch.ones(8, 1, 2**20, device="cuda")
    with memory.step():
        loss = (stack * x).exp().sum()
    torch.autograd.grad(loss, stack)
    pool = sum(tensor.nbytes for tensor in organism.pool.tensors().values())
    assert memory.largest <= torch.cuda.max_memory_allocated() - before + pool
