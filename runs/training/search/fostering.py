"""Training of genomes in the frozen reference hosts: many at once, each alone in one host after the other."""

from collections.abc import Sequence

import torch
from torch import Tensor

from organisms.adam import Adam, update
from organisms.species import Organism
from qd.records import Genome
from runs.training.guests import filled
from runs.training.world import World


def fostered(world: World, genomes: Sequence[Genome], indices: Tensor, rate: float) -> list[Genome]:
    """Return genomes after some optimizer steps in the hosts.

    In step t each genome, grafted alone into host ``t mod H``, takes a step of Adam on the mean loss of that host on
    the t-th batch. The hosts do not change. Gradients are clipped for each genome by itself, to `training.clip`.

    Parameters
    ----------
    world
        Its reference hosts, training split and settings.
    genomes
        Of any layers.
    indices
        Training examples of each step, [steps, batch].
    rate
        Learning rate.

    Source: the idea of policy gradients as a variation, in PGA-MAP-Elites (Nilsson & Cully, GECCO 2021).
    """
    trained: dict[int, Genome] = {}
    for organism, places in filled(world, genomes):
        _train(world, organism, indices, rate)
        slots = [slot for slot, _ in organism.pool.alive()]
        trained |= {place: organism.pool.genome(slot) for place, slot in zip(places, slots, strict=True)}
    return [trained[place] for place in range(len(genomes))]


def _train(world: World, organism: Organism, indices: Tensor, rate: float) -> None:
    pool, settings = organism.pool, Adam()
    for stack in pool.stacks.values():
        stack.requires_grad_(True)
    for step, rows in enumerate(indices):
        home = world.host_organisms[step % len(world.host_organisms)]
        host = world.species.host(home, world.train.inputs[rows], world.train.targets[rows])
        loss = world.species.guest_losses(organism, host).mean(-1).sum()
        found = torch.autograd.grad(loss, list(pool.stacks.values()), materialize_grads=True)
        gradients = dict(zip(pool.stacks, found, strict=True))
        with torch.no_grad():
            _clip_each(gradients, world.config.training.clip)
            update(settings, rate, pool.counts, pool.stacks, gradients, pool.first, pool.second)
    for stack in pool.stacks.values():
        stack.requires_grad_(False)


def _clip_each(gradients: dict[str, Tensor], largest: float) -> None:
    """Scale the gradients of each slot, in place, so that their norm is at most `largest`."""
    squares = torch.stack([gradient.square().flatten(1).sum(1) for gradient in gradients.values()])
    scale = torch.clamp(largest / (squares.sum(0).sqrt() + 1e-6), max=1.0)
    for gradient in gradients.values():
        gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))
