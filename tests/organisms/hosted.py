"""Guests in hosts, literally: components are grafted into other organisms, which are then run by definition."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from organisms.pool import Occupant
from organisms.species import Organism, Species
from qd.records import Genome
from tests.fixtures import naive_interface
from tests.fixtures.naive_interface import Part
from tests.fixtures.small_worlds import DEFINED, examples_of, populate
from tests.organisms.cases import Case, in_float64


@dataclass(frozen=True)
class Settled:
    """A guest, the organisms that become hosts, of which one is empty, and the examples."""

    species: Species
    guest: Organism
    hosts: list[Organism]
    inputs: Tensor
    targets: Tensor

    @property
    def frozen(self):
        return [self.species.host(host, self.inputs, self.targets) for host in self.hosts]

    def genomes(self) -> list[Genome]:
        return [self.guest.pool.genome(slot) for slot, _ in self.guest.pool.alive()]


def settled(case: Case) -> Settled:
    species, guest = case.species(), case.organism()
    size, hosts = guest.pool.size, []
    for seed, slots in enumerate((range(0, size, 2), (size - 1,), ()), start=10):
        hosts.append(species.organism(guest.interface))
        populate(species, hosts[-1], slots, seed)
    return Settled(species, guest, hosts, *examples_of(species.task))


@contextmanager
def grafted(host: Organism, genome: Genome) -> Iterator[int]:
    """Put a genome into a free place of its layer for a while; gives the slot."""
    pool = host.pool
    free = next(
        slot
        for slot, other in enumerate(pool.occupants)
        if other is None and pool.layer(slot) == genome.depth
    )
    pool.graft(free, genome, Occupant.guest(genome.genes))
    yield free
    pool.retire(free)


@dataclass(frozen=True)
class Told:
    """What one guest is to one host, by definition, in float64."""

    slot: int
    parts: dict[int, Part]  # of the host, the guest among them
    drops: Tensor  # of each example's loss, [P]
    wrote: Tensor  # what the guest itself adds, [P, S, D]
    change: Tensor  # of the stream after its layer, [P, S, D]
    stream: Tensor  # after its layer, without the guest, [P, S, D]
    others: Tensor  # what the host's own components of the layer add without the guest, [P, S, D]
    residents: list[Tensor]  # the same of each of them, [P, S, D]
    first: Tensor  # drop to first order, [P]
    direct: Tensor  # drop if no later layer saw the change, [P]


def told(case: Case, at: Settled, host: Organism, genome: Genome) -> Told:
    definition, task = DEFINED[case.family].definition, host.task
    layer, alone = genome.depth, naive_interface.parts(host)
    before = [definition.passing(host, alone, one) for one in at.inputs]
    with grafted(host, genome) as slot:
        parts = naive_interface.parts(host)
        after = [definition.passing(host, parts, one) for one in at.inputs]
        wrote = torch.stack([definition.wrote(host, parts, slot, one) for one in at.inputs])

    def losses(streams):
        outputs = [naive_interface.readout(task, host.interface, x) for x in streams]
        return naive_interface.losses(task, torch.stack(outputs), at.targets)

    x = torch.stack([one.after[layer] for one in before])
    change = torch.stack([one.after[layer] for one in after]) - x
    old = losses([one.after[-1] for one in before])
    direct = losses([one.after[-1] + y for one, y in zip(before, change, strict=True)])
    return Told(
        slot,
        parts,
        drops=old - losses([one.after[-1] for one in after]),
        wrote=wrote,
        change=change,
        stream=x,
        others=x - torch.stack([one.entering[layer] for one in before]),
        residents=[
            torch.stack([definition.wrote(host, alone, other, one) for one in at.inputs])
            for other, part in alone.items()
            if part.layer == layer
        ],
        first=-_slope(at, host, layer, x, change),
        direct=old - direct,
    )


def _slope(at: Settled, host: Organism, layer: int, x: Tensor, change: Tensor) -> Tensor:
    """The central difference of each example's loss along the change of the stream."""
    wide = at.species.organism(host.interface)
    wide.pool.load(host.pool.tensors(), host.pool.occupants)
    wide, _, _ = in_float64(wide)
    with torch.no_grad():
        up, down = (wide.tail(layer + 1, x + step * change, at.targets) for step in (1e-5, -1e-5))
    return (up - down) / 2e-5
