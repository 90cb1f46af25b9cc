"""What every family has to be, and what its components have to be as values."""

import inspect
import math
import pkgutil
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_store.encoding import decode_genome, encode_genome
from archive_store.lowrank import factors
from organisms.families import FAMILIES
from organisms.memory import Trace
from organisms.pool import Occupant
from organisms.pseudopods.species.pseudopod import Pseudopod as PseudopodAtWork
from organisms.species import Component, Memory, Organism, Pseudopod, Species
from qd import variation
from qd.genes import random_genes
from qd.records import ComponentId, Genome
from runs.config.sections import KINDS, OrganismConfig
from tests.fixtures.small_worlds import (
    DEFINED,
    examples_of,
    interface_of,
    small_interface,
    small_species,
    small_task,
)

TASK = small_task()
IDENTITY = ComponentId(1, 2, 3)
SEEDS = st.integers(0, 999)


def members(protocol) -> set[str]:
    """What a class must have to keep a protocol."""
    own = {name for name in vars(protocol) if inspect.isfunction(vars(protocol)[name])}
    return {name for name in own if not name.startswith("_") or name == "__call__"} | set(
        protocol.__annotations__
    )


def parameters(function) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def assert_keeps(value, protocol):
    assert {name for name in members(protocol) if not hasattr(value, name)} == set()


def test_a_configuration_knows_the_families_of_the_table_and_so_do_the_tests():
    assert tuple(FAMILIES) == KINDS == tuple(DEFINED)


def test_the_blueprints_other_protocols_are_kept_by_what_their_docstrings_name():
    assert_keeps(Trace(0.5), Memory)
    assert_keeps(Genome("x", 0, (), {}), Component)
    assert_keeps(PseudopodAtWork, Pseudopod)


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_it_keeps_the_contract(self, family):
        made = pkgutil.resolve_name(FAMILIES[family])(TASK, OrganismConfig(dim=9))
        assert_keeps(made, Species)
        assert made.family == family
        assert (made.depth, made.capacity) == (1, 12)
        assert set(made.ranks.values()) <= set(made.genes)
        assert_keeps(made.organism(small_interface(TASK)), Organism)
        for name in members(Species) - set(Species.__annotations__):
            assert parameters(getattr(made, name)) == parameters(getattr(Species, name))

    def test_options_have_the_names_and_defaults_of_the_configuration(self, family):
        config = OrganismConfig()
        for option in fields(DEFINED[family].options):
            assert option.default == getattr(config, option.name)

    def test_an_interface_comes_of_its_generator_alone(self, family):
        species = small_species(TASK, family, depth=3)
        first, again, other = (species.interface(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
        assert not any(torch.equal(t, other[name]) for name, t in first.items() if t.any())

    def test_an_organism_starts_empty_with_as_many_slots_as_the_options_say(self, family):
        pool = small_species(TASK, family, depth=2, capacity=5).organism({}).pool
        assert (pool.family, pool.depth, pool.capacity) == (family, 2, 5)
        assert list(pool.alive()) == []


def rng(seed=0):
    return np.random.default_rng(seed)


def drawn(species, seed, depth=0) -> Genome:
    return species.random_genome(depth, random_genes(species.genes, rng(seed)), rng(seed))


def same(one: Genome, other: Genome) -> bool:
    """Bit for bit."""
    each = (
        (g.family, g.depth, g.genes, {n: (a.dtype, a.shape, a.tobytes()) for n, a in g.arrays.items()})
        for g in (one, other)
    )
    return next(each) == next(each)


def born(species, operator, seed) -> Genome:
    """What a birth of each kind brings, with every gene free to change."""
    stream, one, other = rng(seed), drawn(species, seed), drawn(species, seed + 1000)

    def fit(genome, genes):
        return species.fitted(genome, genes, stream)

    def resize(genome, genes):
        return variation.resize(fit(genome, genes), genes, species.ranks, factors, stream)

    match operator:
        case "resize":
            return resize(one, other.genes)
        case "gaussian":
            return variation.gaussian(one, 0.1, 0.9, species.genes, resize, stream)
        case "line":
            ways = (factors, species.ranks, fit, species.aligned)
            return variation.line(one, other, 0.1, 0.3, 0.5, species.genes, stream, *ways)
    return variation.norm_matched(one, stream)


# Ranks above the stream's width, where no matrix has so many singular values, are among them.
@pytest.mark.parametrize("dim", [9, 3])
@pytest.mark.parametrize("family", FAMILIES)
class TestComponents:
    def species(self, family, dim):
        larger = {name: 2 * size for name, size in DEFINED[family].largest.items()}
        return small_species(TASK, family, depth=2, dim=dim, **larger)

    @given(seed=SEEDS)
    @settings(max_examples=20)
    def test_one_that_is_drawn_fits_the_pool_and_depends_on_its_stream_alone(self, family, dim, seed):
        species = self.species(family, dim)
        one = drawn(species, seed, depth=1)
        assert (one.family, one.depth, one.genes) == (family, 1, random_genes(species.genes, rng(seed)))
        assert same(drawn(species, seed, depth=1), one)
        pool = species.organism(interface_of(species)).pool
        pool.graft(7, one, Occupant(IDENTITY, (), IDENTITY, one.genes))
        assert same(pool.genome(7), one)
        assert same(decode_genome(encode_genome(one)), one)
        assert all(0 < number < math.inf for number in species.cost(one.genes))

    @given(operator=st.sampled_from(["resize", "gaussian", "line", "genes"]), seed=SEEDS)
    def test_whatever_is_born_of_any_two_fits_the_pool_and_the_space(self, family, dim, operator, seed):
        species = self.species(family, dim)
        made = born(species, operator, seed)
        species.organism(interface_of(species)).pool.check(made)
        for name, value in made.genes:
            assert species.genes[name].low <= value <= species.genes[name].high
            assert value == int(value) or not species.genes[name].integer
        assert all(np.isfinite(array).all() for array in made.arrays.values())
        assert same(born(species, operator, seed), made)

    @given(seed=SEEDS)
    @settings(max_examples=20)
    def test_fitting_and_aligning_change_no_parent_and_aligning_no_output(self, family, dim, seed):
        species = self.species(family, dim)
        like = drawn(species, seed)
        one = species.random_genome(0, like.genes, rng(seed + 1000))
        before = encode_genome(one), encode_genome(like)
        species.fitted(one, drawn(species, seed + 2000).genes, rng(seed))
        aligned = species.aligned(one, like)
        assert (encode_genome(one), encode_genome(like)) == before
        outputs = []
        for genome in (one, aligned):
            organism = species.organism(interface_of(species))
            organism.pool.graft(0, genome, Occupant(IDENTITY, (), IDENTITY, genome.genes))
            outputs.append(organism(examples_of(TASK)[0]))
        torch.testing.assert_close(*outputs)
