import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from organisms.families import FAMILIES
from organisms.memory import Trace
from organisms.nn import example_losses
from organisms.pool import Occupant
from qd.lifecycle.annealing import cosine
from runs.training.births.newborns import found
from runs.training.optimise import batches, learning_rate, train
from runs.training.state import Individual
from runs.training.world import Examples
from tests.fixtures.naive_interface import parts
from tests.fixtures.small_worlds import (
    DEFINED,
    KINDS,
    NAMES,
    examples_of,
    small_config,
    small_organism,
    small_species,
    small_task,
    small_world,
)

WORLD = small_world()


def world_of(kind=KINDS[0], depth=1, family="pseudopods", **training):
    """A world around a made-up task."""
    task = small_task(*kind)
    species = small_species(task, family, depth=depth, capacity=4)
    inputs, targets = examples_of(task, "train")
    return replace(
        WORLD,
        config=small_config(training=training),
        task=task,
        species=species,
        train=Examples(inputs, targets),
    )


def individual_of(world, slots=(0, 2)):
    return Individual(4, small_organism(world.species, slots), 2, 0, Trace(0.9), None)


def rows(steps=6, batch=5, seed=0):
    return torch.randint(0, 11, (steps, batch), generator=torch.Generator().manual_seed(seed))


class Definition:
    """The same organism component by component in float64, trained by torch's own optimizer."""

    def __init__(self, world, individual, learning_rate, decay=0.0):
        self.world, self.organism, self.parts = world, individual.organism, parts(individual.organism)
        self.leaves = [a.requires_grad_() for part in self.parts.values() for a in part.arrays.values()]
        self.optimizer = torch.optim.AdamW(self.leaves, lr=learning_rate, weight_decay=decay)

    def step(self, rows, gates=None):
        self.optimizer.zero_grad()
        inputs, targets = self.world.train.inputs[rows], self.world.train.targets[rows]
        definition = DEFINED[self.world.species.family].definition
        losses = definition.training_losses(self.organism, self.parts, inputs, targets, gates)
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(self.leaves, self.world.config.training.clip)
        self.optimizer.step()
        return losses.mean().item()

    def assert_close(self, pool):
        for slot, part in self.parts.items():
            for name, array in pool.genome(slot).arrays.items():
                found, wanted = torch.from_numpy(array).double(), part.arrays[name].detach()
                # Adam's first steps are nearly signs, so a rounding shows where a gradient is almost 0.
                close = torch.isclose(found, wanted, rtol=1e-3, atol=1e-4)
                assert (~close).sum() <= 0.03 * close.numel(), name


@pytest.mark.parametrize(
    ("family", "depth"),
    [("pseudopods", 1), ("pseudopods", 2), ("experts", 2), ("towers", 2), ("flow", 2), ("transformer", 1)],
)
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_training_is_what_torch_does_to_one_component_at_a_time(kind, depth, family):
    world = world_of(kind, depth, family, weight_decay=0.1, clip=0.5)
    individual = individual_of(world, (0, 2, 5) if depth == 2 else (0, 2))
    definition = Definition(world, individual, 0.01, decay=0.1)
    expected = [definition.step(index) for index in rows()]
    loss = train(world, individual, rows(), lambda step: 0.01)
    assert loss == pytest.approx(sum(expected) / 6, rel=1e-4)
    assert individual.first_loss == pytest.approx(expected[0], rel=1e-5)
    assert individual.step == 6
    definition.assert_close(individual.organism.pool)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_newborns_gate_rises_evenly_and_its_neighbours_stay(family):
    world = world_of(family=family)
    individual = individual_of(world)
    definition = Definition(world, individual, 0.01)
    expected = [definition.step(index, [1, 1, (step + 1) / 6, 1]) for step, index in enumerate(rows())]
    loss = train(world, individual, rows(), lambda step: 0.01, newborn=[2])
    assert loss == pytest.approx(sum(expected) / 6, rel=1e-4)
    definition.assert_close(individual.organism.pool)
    whole = individual_of(world)
    assert train(world, whole, rows(), lambda step: 0.01) != pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_and_empty_slots_stay_exactly_zero_and_factors_do_not(family):
    world, slots = world_of(depth=2, family=family, weight_decay=0.1), (0, 2, 5, 7)
    individual = individual_of(world, slots)
    pool = individual.organism.pool
    before = {slot: pool.genome(slot) for slot in slots}
    for name, stack in pool.stacks.items():
        own = [genome.arrays[name].shape for genome in before.values()]
        assert stack.ndim == 2 or min(own) < tuple(stack.shape[1:])  # there is padding
    train(world, individual, rows(20), lambda step: 0.05)
    for name, tensor in pool.tensors().items():
        if name == "counts":
            continue
        kept = torch.zeros_like(tensor)
        for slot in slots:
            shape = before[slot].arrays[name.partition(".")[2]].shape
            inside = (slot, *(slice(size) for size in shape))
            kept[inside] = tensor[inside]
            assert tensor[inside].all()  # every trained number has moved from zero, or its moments have
        assert torch.equal(tensor, kept)
    assert pool.counts[list(slots)].tolist() == [20, 20, 20, 20]
    for slot, genome in before.items():
        assert all((pool.genome(slot).arrays[n] != genome.arrays[n]).all() for n in genome.arrays)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_interface_is_trained_only_when_asked(family):
    world = world_of(family=family)
    frozen, trained = individual_of(world), individual_of(world)
    drawn = {name: tensor.clone() for name, tensor in frozen.organism.interface.items()}
    train(world, frozen, rows(), lambda step: 0.01)
    assert all(torch.equal(tensor, drawn[name]) for name, tensor in frozen.organism.interface.items())
    train(world, trained, rows(), lambda step: 0.01, interface=True)
    found = trained.organism.interface
    assert {name: tensor.shape for name, tensor in found.items()} == {n: t.shape for n, t in drawn.items()}
    for name, tensor in found.items():
        assert (tensor - drawn[name]).abs().max() == pytest.approx(0.04, abs=0.025), name
        assert not tensor.requires_grad
        assert tensor.is_contiguous()


def test_a_trained_interface_is_torchs_adam_too():
    world = world_of(clip=1e9)
    individual = individual_of(world)
    leaves = {name: t.clone().requires_grad_() for name, t in individual.organism.interface.items()}
    optimizer = torch.optim.Adam(leaves.values(), lr=0.01)
    other = individual_of(world)
    other.organism.interface = leaves
    example_losses(
        world.task, other.organism(world.train.inputs[rows(1)[0]]), world.train.targets[rows(1)[0]]
    ).mean().backward()
    optimizer.step()
    train(world, individual, rows(1), lambda step: 0.01, interface=True)
    for name, leaf in leaves.items():
        torch.testing.assert_close(individual.organism.interface[name], leaf.detach(), rtol=1e-4, atol=1e-5)


def test_nothing_requires_a_gradient_afterwards_and_the_trace_has_seen_every_loss():
    world, individual = world_of(), individual_of(world_of())
    assert not any(t.requires_grad for t in individual.organism.pool.tensors().values())
    definition = Definition(world, individual, 0.01)
    losses = [definition.step(index) for index in rows()]
    trace = Trace(0.9)
    for loss in losses:
        trace.store(loss)
    train(world, individual, rows(), lambda step: 0.01)
    assert not any(t.requires_grad for t in individual.organism.pool.tensors().values())
    assert individual.trace.recall() == pytest.approx(trace.recall(), rel=1e-4)
    train(world, individual, rows(seed=1), lambda step: 0.01)
    assert individual.first_loss == pytest.approx(losses[0], rel=1e-5)
    assert individual.step == 12


def test_two_halves_are_the_whole():
    world = world_of()
    whole, halves = individual_of(world), individual_of(world)
    rate = cosine(0.01, 0.001, 6)
    train(world, whole, rows(), rate)
    for half in rows().split(3):
        train(world, halves, half, rate)
    for name, tensor in whole.organism.pool.tensors().items():
        assert torch.equal(tensor, halves.organism.pool.tensors()[name])
    assert whole.trace.recall() == halves.trace.recall()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_at_a_loss_that_is_not_finite_training_stops_with_the_weights_before_it(bad):
    world, clean = world_of(KINDS[1]), individual_of(world_of(KINDS[1]))
    indices = rows() % 10
    indices[3:] = 10  # a batch of the spoilt example alone
    train(world, clean, indices[:3], lambda step: 0.01)
    targets = world.train.targets.clone()
    targets[10] = bad
    spoilt, individual = replace(world, train=Examples(world.train.inputs, targets)), individual_of(world)
    assert str(train(spoilt, individual, indices, lambda step: 0.01)) == str(bad)
    assert individual.step == 3
    for name, tensor in individual.organism.pool.tensors().items():
        assert torch.equal(tensor, clean.organism.pool.tensors()[name])
        assert not tensor.requires_grad


def test_the_learning_rate_falls_along_half_a_cosine_to_its_final_share():
    rate = learning_rate(WORLD, 100)
    training = WORLD.config.training
    assert rate(0) == training.learning_rate
    assert rate(50) == pytest.approx(training.learning_rate * (1 + training.final_share) / 2)
    assert rate(100) == rate(200) == pytest.approx(training.learning_rate * training.final_share)
    assert rate(25) == pytest.approx(
        training.learning_rate
        * (training.final_share + (1 - training.final_share) * (1 + math.sqrt(0.5)) / 2)
    )


def test_batches_belong_to_organism_and_round_and_cover_the_training_split():
    found = batches(WORLD, 3, 7, 50)
    assert found.shape == (50, WORLD.config.training.batch)
    assert found.dtype == torch.int64
    assert torch.equal(found, batches(WORLD, 3, 7, 50))
    seeded = replace(WORLD, config=small_config(seed=1))
    for other in (batches(WORLD, 4, 7, 50), batches(WORLD, 3, 8, 50), batches(seeded, 3, 7, 50)):
        assert not torch.equal(found, other)
    counts = np.bincount(found.flatten().numpy(), minlength=len(WORLD.train))
    assert len(counts) == len(WORLD.train) == 175
    assert counts.min() >= 0
    assert (counts > 0).mean() > 0.95  # 800 draws of 175


@pytest.mark.parametrize("family", FAMILIES)
def test_organisms_learn(family):
    world = small_world(small_config(organism={"dim": 16, "kind": family}))
    individual = Individual(0, found(world, 0, drawn(world)), 0, 0, Trace(0.9), None)
    train(world, individual, batches(world, 0, 0, 100), lambda step: 0.01, interface=True)
    assert individual.trace.recall() < 0.5 * individual.first_loss


def drawn(world):
    return world.species.interface(torch.Generator().manual_seed(1))


@pytest.mark.parametrize("messages", [0, 2])
def test_what_no_part_uses_stays_as_it_is(messages):
    """No tower attends, and the only one of a layer hears nobody."""
    world = world_of(family="towers")
    species = small_species(world.task, "towers", capacity=4, messages=messages)
    world = replace(world, species=species)
    individual = individual_of(world, ())
    genes = tuple((name, 0.0 if name == "attention" else gene.high) for name, gene in species.genes.items())
    one = species.random_genome(0, genes, np.random.default_rng(0))
    individual.organism.pool.graft(2, one, Occupant.guest(genes))
    loss = train(world, individual, rows(), lambda step: 0.01)
    assert math.isfinite(loss)
    after = individual.organism.pool.genome(2)
    assert not np.array_equal(after.arrays["up"], one.arrays["up"])
    if messages:
        assert np.array_equal(after.arrays["address"], one.arrays["address"])
