from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from organisms.pool import Occupant
from qd import variation
from qd.genes import random_genes
from tests.fixtures.naive_interface import Part
from tests.fixtures.small_worlds import examples_of, interface_of, small_species, small_task
from tests.organisms.towers import naive_towers as naive
from tests.organisms.towers.species.test_component import genes

FAMILY = small_species(small_task(), "towers", max_width=12, max_stages=3, max_expansion=3)
H = torch.randn(7, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
SIZES = ("attention", "expansion", "stages", "width")


def rng(seed=0):
    return np.random.default_rng(seed)


def tower(seed=0, **values):
    return FAMILY.random_genome(0, genes(**values), rng(seed))


def said(genome, h=H):
    """What a tower says, and what it gives that, by definition."""
    arrays = {name: torch.tensor(array, dtype=torch.float64) for name, array in genome.arrays.items()}
    part = Part(0, dict(genome.genes) | {"attention": float(len(arrays["q"]))}, arrays)
    u, _ = naive.stream(part, h, causal=False)
    return u @ arrays["write"], u @ arrays["score"]


def fitted(genome, seed=7, **values):
    return FAMILY.fitted(genome, genes(**values), rng(seed))


@given(seed=st.integers(0, 999))
@settings(max_examples=30)
def test_a_tower_that_grows_says_what_it_said(seed):
    first, second = (random_genes(FAMILY.genes, rng(seed + place)) for place in (0, 1))
    larger = {name: max(dict(first)[name], dict(second)[name]) for name in SIZES}
    one = FAMILY.random_genome(0, first, rng(seed))
    grown = FAMILY.fitted(one, tuple(sorted((dict(first) | larger).items())), rng(seed + 2))
    for after, before in zip(said(grown), said(one), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SIZES)
def test_what_has_grown_learns(name):
    """What is zero for a new unit, so that it changes nothing, has a gradient at once."""
    small = {"attention": 0, "expansion": 1, "stages": 1, "width": 6}
    large = small | {name: {"attention": 1, "expansion": 2, "stages": 2, "width": 9}[name]}
    grown = fitted(tower(**small), **large)
    organism = FAMILY.organism(interface_of(FAMILY))
    genome = replace(grown, genes=genes(**large))
    organism.pool.graft(0, genome, Occupant.guest(genome.genes))
    other = tower(3, width=8)
    organism.pool.graft(1, other, Occupant.guest(other.genes))
    stacks = {name: stack.requires_grad_() for name, stack in organism.pool.stacks.items()}
    loss = organism.training_losses(*examples_of(FAMILY.task)).sum()
    slopes = dict(zip(stacks, torch.autograd.grad(loss, stacks.values()), strict=True))
    added = {
        "attention": slopes["o"][0][:1],
        "expansion": slopes["down"][0][:1, 6:12],
        "stages": slopes["down"][0][1:2],
        "width": slopes["read"][0][:, 6:9],
    }[name]
    assert added.abs().sum() > 0


@pytest.mark.parametrize("name", ["expansion", "width"])
def test_units_that_say_or_hear_nothing_are_the_first_to_go(name):
    """A tower that has grown and shrinks again has its own units, in their order."""
    small = {"attention": 1, "expansion": 1, "stages": 2, "width": 6}
    one = tower(**small)
    grown = fitted(one, **(small | {name: {"expansion": 3, "width": 11}[name]}))
    back = fitted(grown, **small)
    assert all(np.array_equal(back.arrays[array], one.arrays[array]) for array in one.arrays)


def test_each_stage_keeps_its_own_strongest_hidden_units():
    one = tower(expansion=2, width=4, stages=2)
    one.arrays["down"][0][[0, 3, 5, 6]] = 0
    one.arrays["down"][1][[1, 2, 4, 7]] = 0
    shrunk = fitted(one, expansion=1, width=4, stages=2)
    for stage, kept in enumerate(([1, 2, 4, 7], [0, 3, 5, 6])):
        assert np.array_equal(shrunk.arrays["up"][stage], one.arrays["up"][stage][:, kept])
        assert np.array_equal(shrunk.arrays["down"][stage], one.arrays["down"][stage][kept])
    for after, before in zip(said(shrunk), said(one), strict=True):
        torch.testing.assert_close(after, before)


def shuffled(genome, seed):
    """The same tower with the units of every axis in another order, those of each stage in one of its own."""
    arrays, draw = {name: array.copy() for name, array in genome.arrays.items()}, rng(seed)
    for name, axis in FAMILY.hidden_axes.items():
        if name == "hidden":
            for stage in range(len(arrays["up"])):
                order = draw.permutation(arrays["up"].shape[2])
                arrays["up"][stage] = arrays["up"][stage][:, order]
                arrays["down"][stage] = arrays["down"][stage][order]
            continue
        order = draw.permutation(arrays[axis[0][0]].shape[axis[0][1]])
        arrays |= {array: arrays[array].take(order, at) for array, at in axis}
    return replace(genome, arrays=arrays)


@given(seed=st.integers(0, 999))
@settings(max_examples=30)
def test_a_tower_is_found_again_behind_any_order_and_under_noise(seed):
    one = FAMILY.random_genome(0, random_genes(FAMILY.genes, rng(seed)), rng(seed))
    noisy = variation.gaussian(one, 0.01, 0.0, FAMILY.genes, lambda genome, _: genome, rng(seed))
    found = FAMILY.aligned(shuffled(noisy, seed), like=one)
    assert all(np.array_equal(found.arrays[name], noisy.arrays[name]) for name in noisy.arrays)


@given(seed=st.integers(0, 999))
@settings(max_examples=30)
def test_alignment_never_takes_two_towers_further_apart(seed):
    like = FAMILY.random_genome(0, random_genes(FAMILY.genes, rng(seed)), rng(seed))
    one = FAMILY.random_genome(0, like.genes, rng(seed + 1000))

    def apart(genome):
        return sum(float(np.square(genome.arrays[n] - like.arrays[n]).sum()) for n in like.arrays)

    assert apart(FAMILY.aligned(one, like)) <= apart(one) + 1e-3


@pytest.mark.parametrize("seed", [8, 15, 17, 26])  # where one matching of each axis is not enough
def test_no_two_units_of_any_axis_would_better_change_places(seed):
    like, one = (
        FAMILY.random_genome(0, genes(width=7, expansion=1), rng(place)) for place in (seed, seed + 1000)
    )
    for each in (like, one):  # what a unit reads and writes says little about who it is
        each.arrays["read"][...] *= 0.01
        each.arrays["write"][...] *= 0.01
    found = FAMILY.aligned(one, like).arrays

    def apart(arrays):
        return sum(float(np.square(arrays[n].astype(np.float64) - like.arrays[n]).sum()) for n in found)

    for axis in FAMILY.hidden_axes.values():
        for unit in range(7):
            for other in range(unit):
                order = np.arange(7)
                order[[unit, other]] = order[[other, unit]]
                swapped = {**found, **{name: found[name].take(order, at) for name, at in axis}}
                assert apart(swapped) >= apart(found) - 1e-6
