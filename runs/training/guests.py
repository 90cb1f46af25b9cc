"""Genomes as guests of the reference hosts: what each is worth and does there, without an organism of its own."""

from collections.abc import Iterator, Sequence
from typing import Any

from organisms.pool import Occupant
from organisms.species import Organism
from qd.records import Genome, Scored
from runs.training.census import lower_bounds
from runs.training.measures import asked, measured, worths
from runs.training.world import Examples, World


def filled(world: World, genomes: Sequence[Genome]) -> Iterator[tuple[Organism, list[int]]]:
    """Yield organisms whose slots hold genomes, and the places of these in the list by slot; as few as possible.

    Parameters
    ----------
    world
        Its family builds the organisms.
    genomes
        Of any layers.

    Raises
    ------
    ValueError
        If a genome does not fit the family.
    """
    left = dict(enumerate(genomes))
    while left:
        organism = world.species.organism(world.interface)
        pool, places = organism.pool, []
        for slot in range(pool.size):
            place = next((n for n, genome in left.items() if genome.depth == pool.layer(slot)), None)
            if place is not None:
                genome = left.pop(place)
                pool.graft(slot, genome, Occupant.guest(genome.genes))
                places.append(place)
        if not places:
            depths = sorted({genome.depth for genome in left.values()})
            raise ValueError(f"genomes of layers {depths} do not fit organisms of {pool.depth} layers")
        yield organism, places


def scored(world: World, genomes: Sequence[Genome], hosts: Sequence[Any], examples: Examples) -> list[Scored]:
    """Return what each genome is in the reference hosts.

    Parameters
    ----------
    world
        Has the reference organisms, and names the measures.
    genomes
        To be grafted, each alone.
    hosts
        The reference organisms, frozen on the examples.
    examples
        Of which the mean counts.
    """
    found: dict[int, Scored] = {}
    for organism, places in filled(world, genomes):
        assay = world.species.assay(organism, hosts, asked(world))
        rows = measured(world, organism, assay, world.host_organisms, examples).tolist()
        means, lower = assay.drops.mean(-1), lower_bounds(assay.drops)
        columns = (
            rows,
            means.tolist(),
            lower.tolist(),
            (2 * means - lower).tolist(),
            assay.gradients.tolist(),
            worths(world, assay),
        )
        for place, row, mean, low, high, gradient, worth in zip(places, *columns, strict=True):
            flops = float(world.species.cost(genomes[place].genes)[0])
            found[place] = Scored(tuple(row), mean, low, high, gradient, flops, worth)
    return [found[place] for place in range(len(genomes))]
