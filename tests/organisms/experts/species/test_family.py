import torch

from organisms.experts.species.family import Experts
from tests.fixtures.small_worlds import small_species, small_task

TASK = small_task()


def test_an_organism_starts_empty_with_room_for_the_largest_expert():
    family = small_species(TASK, "experts", depth=2, capacity=5, max_rank=4, max_hidden=6)
    organism = family.organism({})
    assert {name: tuple(stack.shape) for name, stack in organism.pool.stacks.items()} == {
        "down.U": (10, 6, 4),
        "down.V": (10, 4, 9),
        "route": (10, 9),
        "up.U": (10, 9, 4),
        "up.V": (10, 4, 6),
    }


def test_options_reach_the_organism():
    organism = small_species(TASK, "experts", experts_per_token=3, balance=0.5).organism({})
    assert (organism.k, organism.balance) == (3, 0.5)


def test_an_interface_has_a_mixer_for_every_layer():
    family = small_species(TASK, "experts", depth=3)
    drawn = family.interface(torch.Generator())
    assert {name: tuple(tensor.shape) for name, tensor in drawn.items()} == {
        "embed": (3, 9),
        "position": (7, 9),
        "read": (9, 5),
        "bias": (5,),
        **{f"mixer.{name}": (3, 9, 9) for name in "qkvo"},
    }


def test_both_matrices_have_the_rank_of_one_gene():
    assert dict(Experts.ranks) == {"down": "rank", "up": "rank"}


def test_no_range_is_known_beforehand():
    assert small_species(TASK, "experts").analytic_ranges() == {}
