"""Small organisms of experts on a task of several kinds, and which tokens they answer, counted one by one."""

from dataclasses import replace

import numpy as np
import torch

from organisms.experts.organism import ExpertOrganism
from organisms.experts.species import Experts
from organisms.task import Task
from tests.organisms.experts import naive_experts as naive
from tests.small_worlds import examples_of, small_organism, small_species, small_task

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
    """Two layers of four slots with random experts in some, whose logits may be larger."""
    family = small_species(task, "experts", depth=2, capacity=4, experts_per_token=k)
    organism = small_organism(family, slots)
    organism.pool.stacks["route"] *= larger
    return family, organism


def counted(organism: ExpertOrganism, slots: tuple[int, ...]) -> torch.Tensor:
    """Count for every slot and example the tokens that choose it, by the definition of a choice."""
    inputs, _ = examples_of(organism.task)
    living = naive.experts(organism)
    sent = [naive.passed(organism.task, organism.interface, living, one, 2, k=organism.k) for one in inputs]
    return torch.tensor(
        [[sum(slot in token for token in one.shares[slot // 4]) for one in sent] for slot in slots]
    )
