import numpy as np
import torch

from organisms.towers.species.component import norm
from tests.fixtures.small_worlds import small_species, small_task

TASK = small_task()


def genes(**values):
    own = {"activation": 0.0, "attention": 1.0, "expansion": 2.0, "stages": 2.0, "width": 12.0} | values
    return tuple(sorted((name, float(value)) for name, value in own.items()))


def test_an_organism_has_room_for_the_largest_tower():
    family = small_species(TASK, "towers", depth=2, capacity=5, max_width=6, max_stages=3, max_expansion=4)
    stacks = family.organism({}).pool.stacks
    assert {name: tuple(stack.shape[1:]) for name, stack in stacks.items()} == {
        **dict.fromkeys("koqv", (1, 6, 6)),
        "down": (3, 24, 6),
        "read": (9, 6),
        "score": (6,),
        "up": (3, 6, 24),
        "write": (6, 9),
    }


def test_a_family_has_only_the_arrays_that_its_options_need():
    assert "score" not in small_species(TASK, "towers", fusion="sum").organism({}).pool.stacks
    plain = small_species(TASK, "towers", attention=False)
    assert not set("koqv") & set(plain.organism({}).pool.stacks)
    assert plain.genes["attention"].high == 0
    assert set(plain.hidden_axes) == {"hidden", "width"}
    assert set(small_species(TASK, "towers").hidden_axes) == {"hidden", "key", "value", "width"}


def test_a_tower_without_attention_has_no_attention_arrays_of_any_length():
    family = small_species(TASK, "towers", max_width=12)
    one = family.random_genome(0, genes(attention=0), np.random.default_rng(0))
    assert all(one.arrays[name].shape == (0, 12, 12) for name in "koqv")


def test_what_is_drawn_has_units_and_hidden_units_of_variance_1_and_opinions_of_a_quarter():
    family = small_species(TASK, "towers", dim=400, max_width=200, max_expansion=2)
    one = family.random_genome(0, genes(width=200, stages=1), np.random.default_rng(0))
    h = np.random.default_rng(1).standard_normal((50, 400))
    u = h @ one.arrays["read"]
    assert abs(u.var() - 1) < 0.05
    unit = norm(torch.from_numpy(u)).numpy()
    assert abs((unit @ one.arrays["up"][0]).var() - 1) < 0.05
    assert abs((unit @ one.arrays["write"]).var() - 0.25) < 0.02
    assert abs((unit @ one.arrays["score"]).std() - 1) < 0.4


def test_the_norm_does_not_depend_on_units_that_hear_nothing():
    u = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(
        norm(u).square().sum(-1), torch.full((3,), 16.0, dtype=torch.float64), rtol=1e-5, atol=0
    )
    silent = torch.cat([u, torch.zeros(3, 4, dtype=torch.float64)], -1)
    assert torch.equal(norm(silent)[:, :5], norm(u))
    assert torch.equal(norm(torch.zeros(2, 4)), torch.zeros(2, 4))
