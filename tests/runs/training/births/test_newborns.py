from dataclasses import replace

import numpy as np
import pytest

from archive_store.encoding import encode_genome
from organisms.families import FAMILIES
from organisms.pool import Occupant
from qd import variation
from qd.canonical import sha256
from qd.genes import random_genes
from qd.records import ComponentId, Genome
from qd.seeding import generator
from runs.errors import RunError
from runs.training.births.newborns import bear, found
from tests.fixtures.small_worlds import (
    birth,
    calibrated_spec,
    calibrated_world,
    order,
    small_config,
    small_world,
)

SLOT = 3  # the only free one
ELITE, OTHER = ComponentId(5, 2, 0), ComponentId(6, 4, 1)


@pytest.fixture(scope="module", params=FAMILIES)
def world(request):
    return calibrated_world(request.param)


def config_of(world, organism=(), **sections):
    """The small configuration of a world's family with some changes."""
    return small_config(organism={"kind": world.species.family, **dict(organism)}, **sections)


def changed(world, organism=(), **sections):
    """A world around the same interface."""
    spec = calibrated_spec(world.species.family)
    return small_world(config_of(world, organism, **sections), interface=spec.interface)


def elite(world, seed) -> Genome:
    rng = np.random.default_rng(seed)
    return world.species.random_genome(0, random_genes(world.species.genes, rng), rng)


def shelf(*genomes):
    """Encoded genomes by digest."""
    encoded = [encode_genome(genome) for genome in genomes]
    return {sha256(data): data for data in encoded}


def born(world, *births, genomes=(), organism=7, round=4):
    made = found(world, organism)
    trials, slots = bear(world, made, order(organism, round, births), shelf(*genomes), {})
    assert trials == []  # these are not tried
    return made, slots


def assert_same(found: Genome, wanted: Genome):
    assert (found.family, found.depth, found.genes) == (wanted.family, wanted.depth, wanted.genes)
    assert {n: a.tobytes() for n, a in found.arrays.items()} == {
        n: a.tobytes() for n, a in wanted.arrays.items()
    }


def written(genome: Genome) -> np.ndarray:
    """An array of the component that is not all zero, whatever its family."""
    return genome.arrays[min(genome.arrays)]


def stream(world):
    return generator(world.config.seed, 4, f"newborn:7:{SLOT}:0")


def fitter(world, rng):
    return lambda genome, genes: world.species.fitted(genome, genes, rng)


def resizer(world, rng):
    """Outer sizes first, because inner ones may not be larger."""
    fit = fitter(world, rng)
    return lambda genome, genes: variation.resize(fit(genome, genes), genes, world.species.ranks, rng)


class TestParents:
    def test_a_parent_that_does_not_fit_is_one_sentence(self, world):
        parent = replace(elite(world, 1), arrays={})
        digest = sha256(encode_genome(parent))
        with pytest.raises(
            RunError, match=r"a parent's genome cannot be read \(ValueError: a genome has \['.*; found \[\]"
        ):
            born(world, birth(SLOT, "gaussian", [ELITE], [digest]), genomes=[parent])


class TestFounders:
    def test_every_founder_comes_from_a_stream_of_its_own(self, world):
        organism = found(world, 7)
        assert [slot for slot, _ in organism.pool.alive()] == [0, 1, 2]
        for slot, occupant in organism.pool.alive():
            identity = ComponentId(7, 0, slot)
            rng = generator(world.config.seed, 0, f"found:{identity}")
            genes = random_genes(world.species.genes, rng)
            assert occupant == Occupant(identity, (), identity, genes)
            assert_same(organism.pool.genome(slot), world.species.random_genome(0, genes, rng))

    def test_organisms_and_seeds_give_different_founders(self, world):
        seeded = changed(world, seed=1)
        genomes = [found(w, n).pool.genome(0) for w, n in ((world, 7), (world, 8), (seeded, 7))]
        assert len({written(genome).tobytes() for genome in genomes}) == 3

    def test_a_larger_pool_has_the_same_founders_first(self, world):
        roomy = {"capacity": 9, "initial": 5}
        few, many = found(world, 7), found(changed(world, roomy), 7)
        assert few.pool.occupants[1].component == many.pool.occupants[1].component
        assert len(list(many.pool.alive())) == 5

    def test_every_layer_has_its_initial_founders(self, world):
        organism = found(small_world(config_of(world, {"depth": 2})), 0)
        assert [slot for slot, _ in organism.pool.alive()] == [0, 1, 2, 4, 5, 6]
        assert organism.pool.genome(5).depth == 1


class TestNewborns:
    def test_births_that_do_not_happen_leave_no_trace(self, world):
        organism, slots = born(world, birth(SLOT, genomes=list(shelf(elite(world, 1))), happens=False))
        assert slots == []
        assert organism.pool.occupants[SLOT] is None

    def test_gaussian_varies_an_elite(self, world):
        parent = elite(world, 1)
        made = birth(SLOT, "gaussian", [ELITE], shelf(parent), ComponentId(5, 0, 0), 0.05)
        organism, slots = born(world, made, genomes=[parent])
        assert slots == [SLOT]
        rng, settings = stream(world), world.config.variation
        expected = variation.gaussian(
            parent, 0.05, settings.gene_rate, world.species.genes, resizer(world, rng), rng
        )
        assert_same(organism.pool.genome(SLOT), expected)
        identity = ComponentId(7, 4, SLOT)
        wanted = Occupant(identity, (ELITE,), ComponentId(5, 0, 0), expected.genes)
        assert organism.pool.occupants[SLOT] == wanted

    def test_without_noise_or_new_genes_gaussian_is_a_graft(self, world):
        parent = elite(world, 1)
        quiet = changed(world, variation={"gene_rate": 0.0})
        organism, _ = born(quiet, birth(SLOT, genomes=shelf(parent), sigma=0.0), genomes=[parent])
        assert_same(organism.pool.genome(SLOT), parent)

    def test_a_line_goes_from_the_first_elite_to_the_second(self, world):
        parents = [elite(world, 1), elite(world, 2)]
        made = birth(SLOT, "line", [ELITE, OTHER], shelf(*parents), ComponentId(5, 0, 0), 0.05)
        organism, _ = born(world, made, genomes=parents)
        settings = world.config.variation
        rng = stream(world)
        expected = variation.line(
            *parents,
            0.05,
            settings.line_sigma,
            settings.gene_rate,
            world.species.genes,
            rng,
            world.species.ranks,
            fitter(world, rng),
            world.species.aligned,
        )
        assert_same(organism.pool.genome(SLOT), expected)
        assert organism.pool.occupants[SLOT].parents == (ELITE, OTHER)

    def test_random_is_drawn_like_a_founder_and_starts_a_line(self, world):
        organism, _ = born(world, birth(SLOT, "random"))
        rng = stream(world)
        genes = random_genes(world.species.genes, rng)
        assert_same(organism.pool.genome(SLOT), world.species.random_genome(0, genes, rng))
        identity = ComponentId(7, 4, SLOT)
        assert organism.pool.occupants[SLOT] == Occupant(identity, (), identity, genes)

    def test_genes_keeps_the_genes_and_the_norms_alone(self, world):
        parent = elite(world, 1)
        organism, _ = born(world, birth(SLOT, "genes", [ELITE], shelf(parent)), genomes=[parent])
        made = organism.pool.genome(SLOT)
        assert_same(made, variation.norm_matched(parent, stream(world)))
        assert made.genes == parent.genes
        assert not np.allclose(written(made), written(parent))
        assert organism.pool.occupants[SLOT].lineage == ComponentId(7, 4, SLOT)

    def test_a_clone_varies_a_living_component_of_the_organism_itself(self, world):
        own = found(world, 7).pool.genome(1)
        made = birth(SLOT, "clone", [ComponentId(7, 0, 1)], lineage=ComponentId(7, 0, 1), sigma=0.05)
        organism, _ = born(world, made)
        rng = stream(world)
        rate = world.config.variation.gene_rate
        expected = variation.gaussian(own, 0.05, rate, world.species.genes, resizer(world, rng), rng)
        assert_same(organism.pool.genome(SLOT), expected)
        assert_same(organism.pool.genome(1), own)

    @pytest.mark.parametrize("operator", ["gaussian", "line", "random", "genes", "clone"])
    def test_the_same_order_gives_the_same_newborn_and_another_round_another(self, world, operator):
        parents = [elite(world, 1), elite(world, 2)]
        own = [ComponentId(7, 0, 1)] if operator == "clone" else [ELITE]
        genomes = {"line": list(shelf(*parents)), "random": [], "clone": []}.get(
            operator, list(shelf(parents[0]))
        )
        made = birth(SLOT, operator, own, genomes)
        one, again, later = (
            born(world, made, genomes=parents, round=round)[0].pool.genome(SLOT) for round in (4, 4, 5)
        )
        assert_same(one, again)
        assert written(one).tobytes() != written(later).tobytes()

    def test_newborns_of_one_order_do_not_depend_on_each_other(self, world):
        wide = changed(world, {"capacity": 6})
        births = [birth(3, "random"), birth(5, "random")]
        both, slots = born(wide, *births)
        (only, _), (other, _) = (born(wide, one) for one in births)
        assert slots == [3, 5]
        assert_same(both.pool.genome(3), only.pool.genome(3))
        assert_same(both.pool.genome(5), other.pool.genome(5))
