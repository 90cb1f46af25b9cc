import pytest
import torch

from organisms.experts.species import ExpertOptions, Experts
from runs.config import OrganismConfig
from tests.small_worlds import examples_of, interface_of, small_organism, small_species, small_task

TASK = small_task()


def test_options_have_the_names_and_defaults_of_the_configuration():
    config, options = OrganismConfig(), ExpertOptions()
    for name in ExpertOptions.__dataclass_fields__:
        assert getattr(options, name) == getattr(config, name)


def test_an_organism_starts_empty_with_room_for_the_largest_expert():
    family = small_species(TASK, "experts", depth=2, capacity=5, max_rank=4, max_hidden=6)
    organism = family.organism({})
    assert list(organism.pool.alive()) == []
    assert {name: tuple(stack.shape) for name, stack in organism.pool.stacks.items()} == {
        "down.U": (10, 6, 4),
        "down.V": (10, 4, 9),
        "route": (10, 9),
        "up.U": (10, 9, 4),
        "up.V": (10, 4, 6),
    }


def test_options_reach_the_organism():
    family = small_species(TASK, "experts", experts_per_token=3, balance=0.5)
    organism = family.organism(interface_of(family))
    assert (organism.k, organism.balance) == (3, 0.5)


def test_an_interface_has_a_mixer_for_every_layer_and_comes_of_its_generator_alone():
    family = small_species(TASK, "experts", depth=3)
    first, again = (family.interface(torch.Generator().manual_seed(1)) for _ in range(2))
    assert {name: tuple(tensor.shape) for name, tensor in first.items()} == {
        "embed": (3, 9),
        "position": (7, 9),
        "read": (9, 5),
        "bias": (5,),
        **{f"mixer.{name}": (3, 9, 9) for name in "qkvo"},
    }
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    other = family.interface(torch.Generator().manual_seed(2))
    assert not torch.equal(first["mixer.q"], other["mixer.q"])


def test_both_matrices_have_the_rank_of_one_gene():
    assert dict(Experts.ranks) == {"down": "rank", "up": "rank"}


def test_no_range_is_known_beforehand():
    assert small_species(TASK, "experts").analytic_ranges() == {}


def test_stats_count_living_slots_and_their_own_parameters():
    organism = small_organism(small_species(TASK, "experts"), (0, 3))
    own = [dict(occupant.genes) for _, occupant in organism.pool.alive()]
    expected = sum(9 + 2 * gene["rank"] * (9 + gene["hidden"]) for gene in own)
    assert organism.stats() == {"alive": 2.0, "parameters": expected}


@pytest.mark.parametrize("slots", [(), (1,)])
def test_organisms_of_no_and_of_one_expert_compute_and_can_be_looked_at(slots):
    family = small_species(TASK, "experts")
    organism, (inputs, targets) = small_organism(family, slots), examples_of(TASK)
    probe = family.probe(organism, inputs, targets)
    assert probe.slots == slots
    assert probe.measures.shape == (len(slots), 5)
    assert probe.measures.isfinite().all()
    assert family.assay(organism, [family.host(organism, inputs, targets)]).shape == (len(slots), 11)
