"""Founders and newborns: the genomes that organisms start with and that births bring."""

from collections.abc import Mapping

from archive_store.encoding import decode_genome
from archive_store.lowrank import refactored
from organisms.memory import Trace
from organisms.nn import Interface
from organisms.pool import Occupant
from organisms.species import Organism
from qd import variation
from qd.genes import random_genes
from qd.records import Birth, ComponentId, Decision, Genes, Genome
from qd.seeding import generator
from runs.errors import readable
from runs.training.state import Individual
from runs.training.world import World


def found(world: World, number: int, interface: Interface | None = None) -> Organism:
    """Build an organism of `initial` random components per layer, every one from a stream of its own.

    Parameters
    ----------
    world
        Says how it is built.
    number
        Of the organism, which names the streams.
    interface
        One that is trained with it, in calibration; None: the world's.
    """
    organism = world.species.organism(world.interface if interface is None else interface)
    settings = world.config.organism
    for depth in range(settings.depth):
        for slot in range(depth * settings.capacity, depth * settings.capacity + settings.initial):
            identity = ComponentId(number, 0, slot)
            stream = generator(world.config.seed, 0, f"found:{identity}")
            genes = random_genes(world.species.genes, stream)
            genome = world.species.random_genome(depth, genes, stream)
            organism.pool.graft(slot, genome, Occupant(identity, (), identity, genes))
    return organism


def bear(world: World, organism: Organism, order: Decision, genomes: Mapping[str, bytes]) -> list[int]:
    """Put the newborns of an order into the organism's pool, and return their slots.

    Parameters
    ----------
    world
        Says how genomes are varied.
    organism
        Has the slots of the births empty.
    order
        What was decided for this round.
    genomes
        Encoded parents, by digest.

    Raises
    ------
    RunError
        If a parent does not fit the organism's pool.
    """
    newborn = [birth for birth in order.births if birth.happens]
    grown = [(birth, _newborn(world, organism, order, birth, genomes)) for birth in newborn]
    for birth, genome in grown:
        identity = ComponentId(order.organism, order.round, birth.slot)
        lineage = birth.lineage or identity
        organism.pool.graft(birth.slot, genome, Occupant(identity, birth.parents, lineage, genome.genes))
    return [birth.slot for birth in newborn]


def _newborn(
    world: World, organism: Organism, order: Decision, birth: Birth, genomes: Mapping[str, bytes]
) -> Genome:
    settings, family = world.config.variation, world.species
    space, depth = family.genes, organism.pool.layer(birth.slot)
    stream = generator(world.config.seed, order.round, f"newborn:{order.organism}:{birth.slot}")
    parents = [_parent(organism, genomes[digest]) for digest in birth.genomes]

    def fit(genome: Genome, genes: Genes) -> Genome:
        return family.fitted(genome, genes, stream)

    def resize(genome: Genome, genes: Genes) -> Genome:
        return variation.resize(fit(genome, genes), genes, family.ranks, refactored, stream)

    if birth.operator == "random":
        return family.random_genome(depth, random_genes(space, stream), stream)
    if birth.operator == "genes":
        return variation.norm_matched(parents[0], stream)
    if birth.operator == "line":
        return variation.line(
            parents[0],
            parents[1],
            birth.sigma,
            settings.line_sigma,
            settings.gene_rate,
            space,
            stream,
            refactored,
            family.ranks,
            fit,
            family.aligned,
        )
    source = organism.pool.genome(birth.parents[0].slot) if birth.operator == "clone" else parents[0]
    return variation.gaussian(source, birth.sigma, settings.gene_rate, space, resize, stream)


def _parent(organism: Organism, data: bytes) -> Genome:
    genome = decode_genome(data)
    with readable("a parent's genome"):
        organism.pool.check(genome)
    return genome


def founder(world: World, number: int, interface: Interface | None = None) -> Individual:
    """Return a new organism at the beginning of its life.

    Parameters
    ----------
    world
        Says how it is built.
    number
        Of the organism, which names the streams that its components are drawn from.
    interface
        One that is trained with it, in calibration; None: the world's.
    """
    return Individual(number, found(world, number, interface), 0, 0, Trace(world.config.training.ema), None)
