"""Founders and newborns: the genomes that organisms start with and that births bring."""

from collections.abc import Callable, Mapping

from archive_store.encoding import decode_genome
from organisms.memory import Trace
from organisms.nn import Interface
from organisms.pool import Occupant, Retired
from organisms.species import Organism
from qd import variation
from qd.genes import random_genes
from qd.records import Birth, ComponentId, Decision, Genome, Proposal, Trial
from qd.seeding import generator
from runs.errors import readable
from runs.training.births.trial import as_born, tried
from runs.training.state import Individual
from runs.training.variator import Variator
from runs.training.world import World

Instead = Callable[
    [Organism, Birth], tuple[Genome, bool] | None
]  # a newborn, and whether its gate rises from 0


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


def bear(
    world: World,
    organism: Organism,
    order: Decision,
    genomes: Mapping[str, bytes],
    before: Mapping[int, Retired],
    instead: Instead | None = None,
) -> tuple[list[Trial], list[int]]:
    """Put the newborns of an order into the organism's pool, one after the other.

    Parameters
    ----------
    world
        Says how genomes are varied and has the examples of the trials.
    organism
        Has the slots of the births empty.
    order
        What was decided for this round.
    genomes
        Encoded parents, by digest.
    before
        Who made room for a birth, by its slot: whoever did comes back where nothing is born.
    instead
        Called with the organism and each birth that happens, for what is born of it in any case; None: nothing is.
        Without it the trials say.

    Returns
    -------
    trials, slots
        What became of each birth that was tried, and the slots of the newborns that did not lower the loss in a trial.

    Raises
    ------
    RunError
        If a parent does not fit the organism's pool.
    """
    trials: list[Trial] = []
    unproven: list[int] = []
    for birth in order.births:
        if not birth.happens:
            continue
        if instead is not None:
            unproven += _born_instead(organism, order, birth, instead, before.get(birth.slot))
            continue
        newborns = [
            newborn(world, organism, order, birth, each, genomes) for each in range(len(birth.proposals))
        ]
        trial, gave_way = None, before.get(birth.slot)
        if birth.tried:
            trial = tried(world, organism, birth, newborns, gave_way)
            trials.append(trial)
        chosen = 0 if trial is None else trial.chosen
        if chosen is not None:
            genome = as_born(world, newborns[chosen], trial, chosen)
            _graft(organism, order, birth.slot, birth.proposals[chosen], genome)
            if trial is None or not trial.gains[chosen] > 0:
                unproven.append(birth.slot)
        elif gave_way is not None:
            organism.pool.restore(birth.slot, gave_way)
    return trials, unproven


def _born_instead(
    organism: Organism, order: Decision, birth: Birth, instead: Instead, gave_way: Retired | None
) -> list[int]:
    """Put what is given into the slot of a birth; return the slot if its gate rises from 0."""
    given = instead(organism, birth)
    if given is not None:
        genome, rises = given
        _graft(organism, order, birth.slot, birth.proposals[0], genome)
        return [birth.slot] if rises else []
    if gave_way is not None:
        organism.pool.restore(birth.slot, gave_way)
    return []


def _graft(organism: Organism, order: Decision, slot: int, proposal: Proposal, genome: Genome) -> None:
    identity = ComponentId(order.organism, order.round, slot)
    occupant = Occupant(identity, proposal.parents, proposal.lineage or identity, genome.genes)
    organism.pool.graft(slot, genome, occupant)


def newborn(
    world: World,
    organism: Organism,
    order: Decision,
    birth: Birth,
    number: int,
    genomes: Mapping[str, bytes],
) -> Genome:
    """Make one of the candidates of a birth, from a stream of its own.

    Parameters
    ----------
    world
        Says how genomes are varied.
    organism
        Has the parents of clones.
    order, birth
        What was decided.
    number
        Of the candidate.
    genomes
        Encoded parents, by digest.
    """
    settings, proposal = world.config.variation, birth.proposals[number]
    stream = generator(world.config.seed, order.round, f"newborn:{order.organism}:{birth.slot}:{number}")
    vary = Variator(world.species, stream)
    parents = [_parent(organism, genomes[digest]) for digest in proposal.genomes]
    if proposal.operator == "random":
        return vary.random(organism.pool.layer(birth.slot))
    if proposal.operator == "genes":
        return variation.norm_matched(parents[0], stream)
    if proposal.operator == "line":
        return vary.line(parents[0], parents[1], birth.sigma, settings.line_sigma, settings.gene_rate)
    source = organism.pool.genome(proposal.parents[0].slot) if proposal.operator == "clone" else parents[0]
    return vary.gaussian(source, birth.sigma, settings.gene_rate)


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
