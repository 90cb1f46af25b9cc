"""The job that scores elites a second time, on examples that no search has seen."""

from collections.abc import Sequence

from archive_store.encoding import decode_genome
from runs.errors import readable
from runs.training.answer import Answer
from runs.training.build import frozen
from runs.training.guests import scored
from runs.training.world import Examples, World


def rescore(world: World, genomes: Sequence[bytes]) -> Answer:
    """Score genomes in the reference hosts on validation examples, as many as the probe split has.

    The report is a `qd.records.Scored` of each.

    Parameters
    ----------
    world
        Configuration, data, interface and reference hosts.
    genomes
        Encoded.
    """
    size = len(world.probe)
    held_out = Examples(world.validation.inputs[:size], world.validation.targets[:size])
    hosts = frozen(world, world.host_organisms, held_out)
    with readable("an elite's genome"):
        return scored(world, [decode_genome(data) for data in genomes], hosts, held_out), b"", {}
