from dataclasses import replace

import numpy as np
import pytest

from archive_store.encoding import encode_genome
from archive_store.lowrank import factors
from organisms.pool import Occupant
from qd import variation
from qd.canonical import sha256
from qd.genes import random_genes
from qd.records import ComponentId, Genome
from qd.seeding import generator
from runs.errors import RunError
from runs.newborns import bear, found
from tests.small_worlds import birth, calibrated_spec, calibrated_world, order, small_config, small_world

WORLD = calibrated_world()
SLOT = 3  # the only free one
ELITE, OTHER = ComponentId(5, 2, 0), ComponentId(6, 4, 1)


def elite(seed) -> Genome:
    rng = np.random.default_rng(seed)
    return WORLD.species.random_genome(0, random_genes(WORLD.species.genes, rng), rng)


def shelf(*genomes):
    """Encoded genomes by digest."""
    encoded = [encode_genome(genome) for genome in genomes]
    return {sha256(data): data for data in encoded}


def born(*births, genomes=(), organism=7, round=4, world=WORLD):
    made = found(world, organism)
    slots = bear(world, made, order(organism, round, births), shelf(*genomes))
    return made, slots


def assert_same(found: Genome, wanted: Genome):
    assert (found.family, found.depth, found.genes) == (wanted.family, wanted.depth, wanted.genes)
    assert {n: a.tobytes() for n, a in found.arrays.items()} == {
        n: a.tobytes() for n, a in wanted.arrays.items()
    }


def stream():
    return generator(WORLD.config.seed, 4, f"newborn:7:{SLOT}")


def resizer(rng):
    return lambda genome, genes: variation.resize(genome, genes, WORLD.species.ranks, factors, rng)


class TestParents:
    def test_a_parent_that_does_not_fit_is_one_sentence(self):
        parent = replace(elite(1), arrays={})
        digest = sha256(encode_genome(parent))
        with pytest.raises(
            RunError, match=r"a parent's genome cannot be read \(ValueError: a genome has .*qk.U"
        ):
            born(birth(SLOT, "bootstrap", [ELITE], [digest]), genomes=[parent])


class TestFounders:
    def test_every_founder_comes_from_a_stream_of_its_own(self):
        organism = found(WORLD, 7)
        assert [slot for slot, _ in organism.pool.alive()] == [0, 1, 2]
        for slot, occupant in organism.pool.alive():
            identity = ComponentId(7, 0, slot)
            rng = generator(WORLD.config.seed, 0, f"found:{identity}")
            genes = random_genes(WORLD.species.genes, rng)
            assert occupant == Occupant(identity, (), identity, genes)
            assert_same(organism.pool.genome(slot), WORLD.species.random_genome(0, genes, rng))

    def test_organisms_and_seeds_give_different_founders(self):
        seeded = small_world(small_config(seed=1))
        arrays = [found(w, n).pool.genome(0).arrays["qk.U"] for w, n in ((WORLD, 7), (WORLD, 8), (seeded, 7))]
        assert len({array.tobytes() for array in arrays}) == 3

    def test_a_larger_pool_has_the_same_founders_first(self):
        config = small_config(organism={"capacity": 9, "initial": 5, "max_rank": 8})
        few, many = found(WORLD, 7), found(small_world(config), 7)
        assert few.pool.occupants[1].component == many.pool.occupants[1].component
        assert len(list(many.pool.alive())) == 5

    def test_every_layer_has_its_initial_founders(self):
        organism = found(small_world(small_config(organism={"depth": 2})), 0)
        assert [slot for slot, _ in organism.pool.alive()] == [0, 1, 2, 4, 5, 6]
        assert organism.pool.genome(5).depth == 1


class TestNewborns:
    def test_births_that_do_not_happen_leave_no_trace(self):
        organism, slots = born(birth(SLOT, genomes=list(shelf(elite(1))), happens=False))
        assert slots == []
        assert organism.pool.occupants[SLOT] is None

    def test_bootstrap_varies_an_elite(self):
        parent = elite(1)
        made = birth(SLOT, parents=[ELITE], genomes=shelf(parent), lineage=ComponentId(5, 0, 0), sigma=0.05)
        organism, slots = born(made, genomes=[parent])
        assert slots == [SLOT]
        rng, settings = stream(), WORLD.config.variation
        expected = variation.bootstrap(
            parent, 0.05, settings.gene_rate, WORLD.species.genes, resizer(rng), rng
        )
        assert_same(organism.pool.genome(SLOT), expected)
        identity = ComponentId(7, 4, SLOT)
        wanted = Occupant(identity, (ELITE,), ComponentId(5, 0, 0), expected.genes)
        assert organism.pool.occupants[SLOT] == wanted

    def test_without_noise_or_new_genes_bootstrap_is_a_graft(self):
        parent = elite(1)
        quiet = small_world(small_config(variation={"gene_rate": 0.0}), interface=calibrated_spec().interface)
        organism, _ = born(birth(SLOT, genomes=shelf(parent), sigma=0.0), genomes=[parent], world=quiet)
        assert_same(organism.pool.genome(SLOT), parent)

    def test_a_line_goes_from_the_first_elite_to_the_second(self):
        parents = [elite(1), elite(2)]
        made = birth(SLOT, "line", [ELITE, OTHER], shelf(*parents), ComponentId(5, 0, 0), 0.05)
        organism, _ = born(made, genomes=parents)
        settings = WORLD.config.variation
        expected = variation.line(
            *parents,
            0.05,
            settings.line_sigma,
            settings.gene_rate,
            WORLD.species.genes,
            stream(),
            factors,
            WORLD.species.ranks,
        )
        assert_same(organism.pool.genome(SLOT), expected)
        assert organism.pool.occupants[SLOT].parents == (ELITE, OTHER)

    def test_random_is_drawn_like_a_founder_and_starts_a_line(self):
        organism, _ = born(birth(SLOT, "random"))
        rng = stream()
        genes = random_genes(WORLD.species.genes, rng)
        assert_same(organism.pool.genome(SLOT), WORLD.species.random_genome(0, genes, rng))
        identity = ComponentId(7, 4, SLOT)
        assert organism.pool.occupants[SLOT] == Occupant(identity, (), identity, genes)

    def test_genes_keeps_the_genes_and_the_norms_alone(self):
        parent = elite(1)
        organism, _ = born(birth(SLOT, "genes", [ELITE], shelf(parent)), genomes=[parent])
        made = organism.pool.genome(SLOT)
        assert_same(made, variation.norm_matched(parent, stream()))
        assert made.genes == parent.genes
        assert not np.allclose(made.arrays["ov.U"], parent.arrays["ov.U"])
        assert organism.pool.occupants[SLOT].lineage == ComponentId(7, 4, SLOT)

    def test_a_clone_varies_a_living_component_of_the_organism_itself(self):
        own = found(WORLD, 7).pool.genome(1)
        made = birth(SLOT, "clone", [ComponentId(7, 0, 1)], lineage=ComponentId(7, 0, 1), sigma=0.05)
        organism, _ = born(made)
        rng = stream()
        rate = WORLD.config.variation.gene_rate
        expected = variation.bootstrap(own, 0.05, rate, WORLD.species.genes, resizer(rng), rng)
        assert_same(organism.pool.genome(SLOT), expected)
        assert_same(organism.pool.genome(1), own)

    @pytest.mark.parametrize("operator", ["bootstrap", "line", "random", "genes", "clone"])
    def test_the_same_order_gives_the_same_newborn_and_another_round_another(self, operator):
        parents = [elite(1), elite(2)]
        own = [ComponentId(7, 0, 1)] if operator == "clone" else [ELITE]
        genomes = {"line": list(shelf(*parents)), "random": [], "clone": []}.get(
            operator, list(shelf(parents[0]))
        )
        made = birth(SLOT, operator, own, genomes)
        one, again, later = (
            born(made, genomes=parents, round=round)[0].pool.genome(SLOT) for round in (4, 4, 5)
        )
        assert_same(one, again)
        assert one.arrays["ov.U"].tobytes() != later.arrays["ov.U"].tobytes()

    def test_newborns_of_one_order_do_not_depend_on_each_other(self):
        wide = small_world(small_config(organism={"capacity": 6}), interface=calibrated_spec().interface)
        births = [birth(3, "random"), birth(5, "random")]
        both, slots = born(*births, world=wide)
        (only, _), (other, _) = (born(one, world=wide) for one in births)
        assert slots == [3, 5]
        assert_same(both.pool.genome(3), only.pool.genome(3))
        assert_same(both.pool.genome(5), other.pool.genome(5))
