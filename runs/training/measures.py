"""The measures of components in the reference hosts: the family's own that are configured, and a user's."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from organisms.arrays import numeric
from organisms.pool import Occupant
from organisms.species import Assay, Organism
from qd.records import Genome
from runs.config.import_path import imported
from runs.errors import RunError
from runs.training.world import Examples, World


def measured(
    world: World, organism: Organism, assay: Assay, hosts: Sequence[Organism], examples: Examples
) -> Tensor:
    """Return the raw measures of every living slot in the order of the world's, float64 [n, p].

    A measure given by import path is a function ``(organism, inputs, targets) -> numbers``, one for each living slot in
    order. It is called once for each component and host, which then has the component as a guest, and the mean of the
    guest's numbers counts.

    Parameters
    ----------
    world
        Names the p measures.
    organism
        Has the components in its pool.
    assay
        Of the organism in these hosts and on these examples, with the measures of `built_in`.
    hosts
        The reference organisms, with free places.
    examples
        Passed on to the user's measures.

    Raises
    ------
    RunError
        If a user's measure does not give as many numbers, or no numbers at all, or a host has no free place.
    """
    columns = [
        _own(name, organism, hosts, examples).to(world.device) if ":" in name else assay.measures[name]
        for name in world.measures
    ]
    return torch.stack(columns, dim=-1)


def built_in(world: World) -> tuple[str, ...]:
    """Return which of the measures that are taken are the family's own, by name."""
    return tuple(name for name in world.measures if ":" not in name)


def asked(world: World) -> tuple[str, ...]:
    """Return what is asked of the hosts: `built_in`, and the worth that the objective goes by, if it is no assay."""
    kind = world.config.objective.kind
    return built_in(world) if kind == "assay" else (*built_in(world), kind)


def worths(world: World, assay: Assay) -> Sequence[float | None]:
    """Return what every living slot is worth by the objective's kind; None each where that is the assay."""
    kind = world.config.objective.kind
    return [None] * len(assay.drops) if kind == "assay" else assay.measures[kind].tolist()


def _own(name: str, organism: Organism, hosts: Sequence[Organism], examples: Examples) -> Tensor:
    guests = [organism.pool.genome(slot) for slot, _ in organism.pool.alive()]
    rows = [[_in_host(name, guest, host, examples) for host in hosts] for guest in guests]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(guests), len(hosts)).mean(1)


def _in_host(name: str, guest: Genome, host: Organism, examples: Examples) -> float:
    pool = host.pool
    first = guest.depth * pool.capacity
    free = [slot for slot in range(first, first + pool.capacity) if pool.occupants[slot] is None]
    if not free:
        raise RunError(
            f"measure {name} is taken of components as guests, and a reference host has no free place in layer "
            f"{guest.depth}; lower calibration.host_share or raise organism.capacity"
        )
    pool.graft(free[0], guest, Occupant.guest(guest.genes))
    try:
        given = imported(name, "measures")(host, examples.inputs, examples.targets)
    finally:
        place = [slot for slot, _ in pool.alive()].index(free[0])
        living = sum(1 for _ in pool.alive())
        pool.retire(free[0])
    try:
        values = numeric(f"measure {name}", given).astype(np.float64)
    except ValueError as error:
        raise RunError(str(error)) from error
    if values.shape != (living,):
        raise RunError(
            f"measure {name} must give {living} numbers, one for each living slot; it gave shape {values.shape}"
        )
    return float(values[place])
