"""Small organisms of experts on a task of several kinds, and which tokens they answer by definition."""

from dataclasses import replace

import numpy as np

from tests.fixtures.naive_interface import parts
from tests.fixtures.small_worlds import examples_of, small_organism, small_species, small_task
from tests.organisms.experts import naive_experts as naive

KINDS = ("sine", "never", "circle")
LABELS = np.array([0, 2, 0, 0, 2, 2, 2, 0, 0, 0, 2])


def labelled():
    """A task of eleven examples a split, of two of its three kinds."""
    task = small_task("sequence")
    names = ("train", "probe", "validation", "test")
    splits = {name: replace(getattr(task, name), labels=LABELS) for name in names}
    return replace(task, labels=KINDS, **splits)


def routed(task, slots, k=2):
    """A family of experts, and an organism of two layers of four slots with experts in some."""
    family = small_species(task, "experts", depth=2, capacity=4, experts_per_token=k)
    return family, small_organism(family, slots)


def counted(organism, slots):
    """Count the tokens of each probe example that choose each of the slots, a token at a time."""
    found = {slot: [] for slot in slots}
    for example in examples_of(organism.task)[0]:
        shares = naive.passed(organism, parts(organism), example).shares
        for slot, counts in found.items():
            counts.append(sum(slot in token for token in shares[slot // 4]))
    return list(found.values())
