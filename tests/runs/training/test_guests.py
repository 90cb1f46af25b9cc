"""Genomes that are scored alone, beside others, or as parts of an organism: what they are in the hosts is the same."""

from dataclasses import replace

import numpy as np
import pytest

from archive_store.encoding import decode_genome
from organisms.families import FAMILIES
from runs.trainer import advance
from runs.training.guests import filled, scored
from tests.fixtures.small_worlds import calibrated_world, order


@pytest.fixture(scope="module", params=FAMILIES)
def world(request):
    """One that takes all measures on offer."""
    world = calibrated_world(request.param)
    return replace(world, measures=tuple(world.species.measures))


@pytest.fixture(scope="module")
def lived(world):
    """The records of two organisms after a round, and their genomes."""
    pairs = []
    for number in (0, 1):
        report, _, genomes = advance(world, None, order(number, 1), {}, lambda: 0.0)
        pairs += [(record, decode_genome(genomes[record.genome])) for record in report.census.records]
    return pairs


def numbers(one):
    return [*one.measures, one.assay, one.assay_lower, one.gradient]


def test_equal_genomes_are_worth_and_do_the_same_wherever_they_come_from(world, lived):
    genomes = [genome for _, genome in lived]
    together = scored(world, genomes, world.hosts, world.probe)
    for (record, genome), beside in zip(lived, together, strict=True):
        (alone,) = scored(world, [genome], world.hosts, world.probe)
        np.testing.assert_allclose(numbers(alone), numbers(record), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(numbers(beside), numbers(record), rtol=1e-5, atol=1e-6)
        assert alone.assay_upper - alone.assay == pytest.approx(alone.assay - alone.assay_lower)
    assert len({one.assay for one in together}) == len(together)


def test_organisms_are_filled_one_after_the_other_and_each_genome_is_in_one(world, lived):
    genomes = [genome for _, genome in lived] * 2
    seen = []
    for organism, places in filled(world, genomes):
        assert len(places) == len(list(organism.pool.alive())) <= organism.pool.size
        seen += places
    assert sorted(seen) == list(range(len(genomes)))


def test_a_genome_of_another_layer_is_told_of(world, lived):
    with pytest.raises(ValueError, match=r"genomes of layers \[3\] do not fit organisms of 1 layers"):
        scored(world, [replace(lived[0][1], depth=3)], world.hosts, world.probe)
