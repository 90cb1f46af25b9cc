"""Genomes as flat vectors, of every family and shape."""

import numpy as np
import pytest

from organisms.flat import FlatGenomes
from qd.genes import random_genes
from qd.seeding import generator
from tests.organisms.cases import CASES


@pytest.fixture(params=CASES, ids=str)
def species(request):
    return request.param.species()


@pytest.fixture
def flat(species):
    return FlatGenomes(species.organism(species.interface(None)).pool, species.genes)


@pytest.fixture
def genomes(species):
    draws = generator(0, 0, "flat")
    return [
        species.random_genome(depth, random_genes(species.genes, draws), draws)
        for depth in range(species.depth)
        for _ in range(3)
    ]


def test_a_genome_comes_back_from_its_vector(flat, genomes):
    for genome in genomes:
        vector = flat.vector(genome)
        again = flat.genome(vector)
        assert vector.shape == (flat.size,)
        assert (again.family, again.depth) == (genome.family, genome.depth)
        for (name, value), (known, gene) in zip(again.genes, genome.genes, strict=True):
            assert name == known
            assert value == pytest.approx(gene, rel=1e-12)
        assert again.arrays.keys() == genome.arrays.keys()
        for name, array in genome.arrays.items():
            assert again.arrays[name].dtype == np.float32
            assert np.array_equal(again.arrays[name], array)


def test_any_vector_is_a_genome_that_fits_a_pool(flat, species):
    draws = np.random.default_rng(0)
    for scale in (0.1, 1.0, 30.0):
        genome = flat.genome(draws.normal(size=flat.size) * scale)
        for name, value in genome.genes:
            assert species.genes[name].low <= value <= species.genes[name].high
            assert not species.genes[name].integer or value == int(value)
        assert flat.vector(genome).shape == (flat.size,)  # a pool takes it


def test_a_vector_of_another_length_or_with_a_hole_is_refused(flat):
    with pytest.raises(ValueError, match=f"a genome is a vector of {flat.size} finite numbers, not of shape"):
        flat.genome(np.zeros(flat.size + 1))
    with pytest.raises(ValueError, match="finite numbers"):
        flat.genome(np.full(flat.size, np.nan))
