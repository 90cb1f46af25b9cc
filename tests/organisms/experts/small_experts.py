"""Small organisms of experts on a task of several kinds, and which tokens they answer, counted one by one."""

from dataclasses import replace

import numpy as np
import torch

from organisms.experts.organism import ExpertOrganism
from organisms.experts.species import ExpertOptions, Experts
from organisms.nn import rms_norm, stem
from organisms.pool import Occupant
from organisms.task import Task
from qd.genes import random_genes
from qd.records import ComponentId
from tests.small_worlds import examples_of, small_task

KINDS = ("sine", "never", "circle")
LABELS = np.array([0, 2, 0, 0, 2, 2, 2, 0, 0, 0, 2])


def labelled() -> Task:
    """A task of eleven examples a split, of two of its three kinds."""
    task = small_task("sequence")
    names = ("train", "probe", "validation", "test")
    splits = {name: replace(getattr(task, name), labels=LABELS) for name in names}
    return replace(task, labels=KINDS, **splits)


def experts(
    task: Task, slots: tuple[int, ...], k: int = 2, larger: float = 1.0
) -> tuple[Experts, ExpertOrganism]:
    """Two layers of four slots with random experts in some."""
    family = Experts(
        task, ExpertOptions(dim=9, depth=2, capacity=4, max_rank=3, max_hidden=5, experts_per_token=k)
    )
    organism = family.organism(family.interface(torch.Generator().manual_seed(1)))
    for slot in slots:
        rng, identity = np.random.default_rng(slot), ComponentId(0, 0, slot)
        genome = family.random_genome(slot // 4, random_genes(family.genes, rng), rng)
        genome.arrays["route"][...] *= larger
        organism.pool.graft(slot, genome, Occupant(identity, (), identity, genome.genes))
    return family, organism


def counted(organism: ExpertOrganism, slots: tuple[int, ...]) -> torch.Tensor:
    """Count for every token of every example the k experts of its layer with the largest logits."""
    inputs, _ = examples_of(organism.task)
    found = torch.zeros(len(slots), len(inputs), dtype=torch.int64)
    x = stem(organism.task, organism.interface, inputs)
    for layer in range(2):
        x = organism.entering(layer, x)
        h = rms_norm(x)
        own = [slot for slot in slots if slot // 4 == layer]
        columns = {slot: organism.pool.genome(slot).arrays["route"] for slot in own}
        for example, tokens in enumerate(h):
            for token in tokens:
                wanted = sorted(own, key=lambda slot: -float(token @ torch.from_numpy(columns[slot])))
                for slot in wanted[: organism.k]:
                    found[slots.index(slot), example] += 1
        x = x + organism.mixed(layer, h)
    return found
