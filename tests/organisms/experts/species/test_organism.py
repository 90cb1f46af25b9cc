import pytest
import torch

from organisms.nn import example_losses
from tests.fixtures.naive_interface import parts
from tests.fixtures.small_worlds import (
    examples_of,
    interface_of,
    populate,
    small_organism,
    small_species,
    small_task,
)
from tests.organisms.cases import Case
from tests.organisms.experts import naive_experts as naive

EXPERTS = Case("experts", shape="one layer")
TOKENS = torch.randn(4, 7, 9, generator=torch.Generator().manual_seed(2))


def test_the_balance_of_a_layer_weighs_as_the_option_says_and_without_it_only_the_task_counts():
    organism = Case("experts").organism()
    inputs, targets = examples_of(organism.task)
    sent = [naive.passed(organism, parts(organism), one) for one in inputs]
    uneven = [naive.balance(parts(organism), sent, layer).item() for layer in range(2)]
    assert abs(uneven[0] - 1) > 5e-3
    assert uneven[1] == pytest.approx(1)  # all tokens choose both of two
    task = example_losses(organism.task, organism(inputs), targets)
    for weight in (0.0, 0.01, 2.0):
        organism.balance = weight
        found = organism.training_losses(inputs, targets)
        torch.testing.assert_close(found, task + weight * sum(uneven) / 2, rtol=1e-4, atol=1e-5)


def test_more_experts_a_token_than_live_are_as_many_as_live():
    few, many = EXPERTS.organism((0, 2)), Case("experts", shape="one layer", variant="all").organism((0, 2))
    inputs, _ = examples_of(few.task)
    assert torch.equal(few(inputs), many(inputs))


def test_a_birth_brings_an_expert_and_its_column_and_a_death_takes_both():
    organism, source = EXPERTS.organism(), EXPERTS.organism((1,), seed=4)
    chosen = organism.routed(0, TOKENS).slots_Tk
    organism.pool.graft(1, source.pool.genome(1), source.pool.occupants[1])
    torch.testing.assert_close(organism.logits(0, TOKENS)[..., 1], source.logits(0, TOKENS)[..., 1])
    assert (organism.routed(0, TOKENS).slots_Tk == 1).any()
    organism.pool.retire(1)
    assert torch.equal(organism.routed(0, TOKENS).slots_Tk, chosen)


def test_when_an_expert_dies_its_tokens_go_to_those_that_they_like_next():
    organism = EXPERTS.organism()
    before = organism.routed(0, TOKENS)
    organism.pool.retire(2)
    after = organism.routed(0, TOKENS)
    served = (before.slots_Tk == 2).any(1)
    assert 0 < served.sum() < len(served)
    assert not (after.slots_Tk == 2).any()
    assert torch.equal(after.slots_Tk[~served], before.slots_Tk[~served])
    assert torch.equal(after.weights_Tk[~served], before.weights_Tk[~served])
    assert (after.slots_Tk[served].sort(1).values == torch.tensor([0, 3])).all()
    torch.testing.assert_close(after.weights_Tk.sum(1), torch.ones(28))


def test_of_equal_experts_the_first_are_chosen():
    organism, source = EXPERTS.organism(()), EXPERTS.organism()
    for slot in (1, 3, 4):
        organism.pool.graft(slot, source.pool.genome(0), source.pool.occupants[0])
    routed = organism.routed(0, TOKENS[:2])
    assert (routed.slots_Tk == torch.tensor([1, 3])).all()
    torch.testing.assert_close(routed.weights_Tk, torch.full((14, 2), 0.5))


def test_all_parts_compute_where_the_interface_lies():
    species = Case("experts").species()
    organism = species.organism({n: t.to("meta") for n, t in interface_of(species).items()})
    populate(species, organism, (0, 2, 5))
    h = TOKENS.to("meta")
    found = (organism.logits(0, h), organism.hidden(0, h), *organism.matrices(1))
    assert {part.device.type for part in found} == {"meta"}


def test_with_one_expert_a_token_the_task_alone_still_trains_the_router():
    species = small_species(small_task(), "experts", experts_per_token=1, balance=0.0)
    organism = small_organism(species, (0, 1, 3))
    route = organism.pool.stacks["route"].requires_grad_()
    (slope,) = torch.autograd.grad(organism.training_losses(*examples_of(species.task)).mean(), route)
    assert slope[[0, 1, 3]].abs().sum(-1).min() > 0
