"""What every family has to be, and what its components have to be as values."""

import inspect
import math
import pkgutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from archive_store.encoding import decode_genome, encode_genome
from organisms.families import FAMILIES
from organisms.layers.norms import rms_norm
from organisms.nn import stem
from organisms.options import Sizes, Traits
from organisms.pool import Occupant
from organisms.residual.writes import Writes
from organisms.species import CONTRACT, Organism, Species
from qd import variation
from qd.genes import random_genes
from qd.records import ComponentId, Genome
from runs.training.build import emptied
from tests.fixtures.small_worlds import (
    DEFINED,
    examples_of,
    interface_of,
    small_interface,
    small_species,
    small_task,
)
from tests.organisms.cases import Case

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


def test_the_tests_know_every_family_of_the_table():
    assert tuple(FAMILIES) == tuple(DEFINED)


def test_the_contract_is_what_its_protocol_lists_but_for_sizes_that_are_given():
    assert {*CONTRACT, "depth", "capacity"} == members(Species)


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_it_keeps_the_contract(self, family):
        options = pkgutil.resolve_name(FAMILIES[family].options)
        made = pkgutil.resolve_name(FAMILIES[family].species)(TASK, Sizes(dim=9), options())
        assert_keeps(made, Species)
        assert (made.family, made.options) == (family, options)
        assert (made.depth, made.capacity) == (1, 12)
        assert set(made.ranks.values()) <= set(made.genes)
        assert isinstance(options.traits, Traits)
        assert_keeps(made.organism(small_interface(TASK)), Organism)
        for name in members(Species) - set(Species.__annotations__):
            assert parameters(getattr(made, name)) == parameters(getattr(Species, name))

    def test_its_options_are_described_frozen_and_strict(self, family):
        options = DEFINED[family].options
        assert all(field.description for field in options.model_fields.values())
        name = next(iter(options.model_fields))
        with pytest.raises(ValidationError, match="frozen"):
            setattr(options(), name, 1)
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            options(colour="red")

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
        return variation.resize(fit(genome, genes), genes, species.ranks, stream)

    match operator:
        case "resize":
            return resize(one, other.genes)
        case "gaussian":
            return variation.gaussian(one, 0.1, 0.9, species.genes, resize, stream)
        case "line":
            ways = (species.ranks, fit, species.aligned)
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

    @given(seed=SEEDS)
    @settings(max_examples=20)
    def test_the_order_of_units_on_hidden_axes_is_free_and_alignment_undoes_it(self, family, dim, seed):
        species = self.species(family, dim)
        one, arrays = drawn(species, seed), {}
        for axis in species.hidden_axes.values():
            sizes = {one.arrays[name].shape[at] for name, at in axis}
            assert len(sizes) == 1
            order = rng(seed).permutation(sizes.pop())
            arrays |= {name: np.take(arrays.get(name, one.arrays[name]), order, at) for name, at in axis}
        turned = replace(one, arrays={**one.arrays, **arrays})
        assert same(species.aligned(turned, one), one)
        outputs = []
        for genome in (one, turned):
            organism = species.organism(interface_of(species))
            organism.pool.graft(0, genome, Occupant(IDENTITY, (), IDENTITY, genome.genes))
            outputs.append(organism(examples_of(TASK)[0]))
        torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("family", FAMILIES)
class TestTraits:
    def test_a_gate_adds_or_competes_as_the_family_says(self, family):
        organism = Case(family, shape="one layer").organism()
        inputs, _ = examples_of(organism.task)
        h = rms_norm(stem(organism.task, organism.interface, inputs))
        seen = organism.observed(0, h)
        alone = torch.stack([-written for written in seen.writes[organism.pool.living(0)].dense()])
        changes = seen.without(organism.pool.living(0))
        found = torch.stack(list(changes.dense() if isinstance(changes, Writes) else changes))
        assert torch.allclose(found, alone, atol=1e-6) == (species_traits(family).gate == "adds")

    def test_an_assay_of_use_finds_a_place_for_every_token_in_a_host(self, family):
        """A host that keeps the family's share of its components leaves no token that a graft could not change."""
        traits = species_traits(family)
        assert traits.assay == "use"
        case = Case(family, shape="two layers")
        species, host, guest = case.species(), case.organism(), case.organism(seed=5)
        for slot in emptied(host, traits.host_share):
            host.pool.retire(slot)
        frozen = species.host(host, *examples_of(species.task))
        guests = guest.guests(0, frozen.reads[0], guest.pool.living(0))
        joined = host.joined(frozen.residents[0], guests)
        changes = host.grafted(frozen.residents[0], joined, frozen.streams[0])
        for change in changes.dense() if isinstance(changes, Writes) else changes:
            assert change.norm(dim=-1).min() > 0


def species_traits(family) -> Traits:
    return pkgutil.resolve_name(FAMILIES[family].options).traits


@pytest.mark.parametrize("wrong", [{"host_share": 0.0}, {"host_share": 1.5}, {"interface_steps": 0}])
def test_traits_that_calibration_could_not_use_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        replace(Traits(gate="adds", assay="use", host_share=0.5, interface_steps=9), **wrong)
