import pytest
import torch

from organisms.experts.organism import ExpertOrganism
from organisms.nn import example_losses
from tests.organisms.experts import naive_experts as naive
from tests.small_worlds import (
    KINDS,
    NAMES,
    examples_of,
    interface_of,
    populate,
    small_organism,
    small_species,
    small_task,
)

SIZES = [
    {},
    {"depth": 2, "capacity": 4},
    {"dim": 3, "max_rank": 1, "max_hidden": 1, "experts_per_token": 1},
    {"depth": 3, "capacity": 3, "dim": 34, "max_rank": 8, "max_hidden": 8, "experts_per_token": 3},
]
SLOTS = [
    (0, 2, 3),
    (0, 1, 3, 5, 6),
    (1,),
    (0, 1, 2, 7),
]  # of the last one no expert lives in the middle layer


def species(kind=KINDS[0], size=0):
    return small_species(small_task(*kind), "experts", **SIZES[size])


def built(kind=KINDS[0], size=0) -> ExpertOrganism:
    return small_organism(species(kind, size), SLOTS[size])


def in_float64(organism: ExpertOrganism) -> ExpertOrganism:
    organism.interface = {name: tensor.double() for name, tensor in organism.interface.items()}
    pool = organism.pool
    pool.stacks = {name: stack.double().requires_grad_() for name, stack in pool.stacks.items()}
    return organism


def inputs_of(organism, wide=False):
    inputs, targets = examples_of(organism.task)
    return (inputs.double() if wide and inputs.is_floating_point() else inputs), targets


def by_definition(what, organism, *data, gates=None):
    """Call a function of the definition with what an organism consists of."""
    options = {"depth": organism.pool.depth, "gates": gates, "k": organism.k}
    return what(organism.task, organism.interface, naive.experts(organism), *data, **options)


@pytest.mark.parametrize("size", range(len(SIZES)))
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_outputs_are_those_of_one_token_and_one_expert_at_a_time(kind, size):
    organism = built(kind, size)
    inputs, _ = inputs_of(organism)
    expected = by_definition(naive.outputs, organism, inputs)
    torch.testing.assert_close(organism(inputs).double(), expected, rtol=1e-4, atol=1e-4)
    wide = in_float64(organism)(inputs_of(organism, wide=True)[0])
    torch.testing.assert_close(wide, expected)


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_gates_multiply_the_odds_of_their_slots(kind, size):
    """The second living slot is shut."""
    organism = built(kind, size)
    gates = torch.linspace(0.1, 3, organism.pool.size, dtype=torch.float64)
    gates[SLOTS[size][1]] = 0
    wide = in_float64(organism)(inputs_of(organism, wide=True)[0], gates)
    expected = by_definition(naive.outputs, organism, inputs_of(organism)[0], gates=gates.tolist())
    torch.testing.assert_close(wide, expected)


@pytest.mark.parametrize("size", range(len(SIZES)))
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_every_gradient_is_that_of_one_expert_at_a_time(kind, size):
    organism = in_float64(built(kind, size))
    inputs, _ = inputs_of(organism, wide=True)
    experts, names = naive.experts(organism), list(organism.pool.stacks)
    leaves = {(s, name): experts[s].arrays[name].requires_grad_() for s in experts for name in names}
    expected = naive.outputs(
        organism.task, organism.interface, experts, inputs, organism.pool.depth, k=organism.k
    )
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = dict(zip(leaves, torch.autograd.grad(expected, list(leaves.values()), upstream), strict=True))
    stacks = list(organism.pool.stacks.values())
    for name, stack in zip(names, torch.autograd.grad(organism(inputs), stacks, upstream), strict=True):
        padded = torch.zeros_like(stack)
        for slot in experts:
            gradient = wanted[slot, name]
            padded[(slot, *map(slice, gradient.shape))] = gradient
        torch.testing.assert_close(stack, padded, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("size", [0, 3])
def test_every_gradient_of_what_training_minimises_is_that_of_the_definition(size):
    organism = in_float64(built(size=size))
    inputs, targets = inputs_of(organism, wide=True)
    experts, names = naive.experts(organism), list(organism.pool.stacks)
    leaves = {(s, name): experts[s].arrays[name].requires_grad_() for s in experts for name in names}
    expected = naive.training_losses(
        *(organism.task, organism.interface, experts, inputs, targets, organism.pool.depth),
        k=organism.k,
        weight=3.0,
    )
    organism.balance = 3.0
    found = organism.training_losses(inputs, targets)
    torch.testing.assert_close(found, expected)
    upstream = torch.linspace(-1, 2, len(inputs), dtype=torch.float64)
    wanted = torch.autograd.grad(expected, list(leaves.values()), upstream)
    stacks = torch.autograd.grad(found, list(organism.pool.stacks.values()), upstream)
    by_name = dict(zip(names, stacks, strict=True))
    for (slot, name), gradient in zip(leaves, wanted, strict=True):
        own = by_name[name][(slot, *map(slice, gradient.shape))]
        torch.testing.assert_close(own, gradient, rtol=1e-7, atol=1e-9)


def test_the_balance_of_a_layer_weighs_as_the_option_says_and_without_it_only_the_task_counts():
    organism = built(size=1)
    inputs, targets = inputs_of(organism)
    sent = [
        naive.passed(organism.task, organism.interface, naive.experts(organism), one, 2) for one in inputs
    ]
    uneven = [naive.balance(naive.experts(organism), sent, layer).item() for layer in range(2)]
    assert abs(uneven[0] - 1) > 5e-3
    assert uneven[1] == pytest.approx(1)  # all tokens choose both of two
    task = example_losses(organism.task, organism(inputs), targets)
    for weight in (0.0, 0.01, 2.0):
        organism.balance = weight
        found = organism.training_losses(inputs, targets)
        torch.testing.assert_close(found, task + weight * sum(uneven) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shut", [(), (0,), (5, 6)])
def test_gates_count_in_training_too(shut):
    organism = built(size=1)
    inputs, targets = inputs_of(organism)
    gates = torch.linspace(0.1, 1.5, organism.pool.size)
    gates[list(shut)] = 0
    expected = by_definition(naive.training_losses, organism, inputs, targets, gates=gates.tolist())
    found = organism.training_losses(inputs, targets, gates)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def test_the_gradient_by_a_gate_is_that_of_finite_differences():
    organism = in_float64(built(size=1))
    inputs, targets = inputs_of(organism, wide=True)
    gates = torch.linspace(0.5, 1.5, organism.pool.size, dtype=torch.float64).requires_grad_()

    def loss(gates):
        return example_losses(organism.task, organism(inputs, gates), targets)

    assert torch.autograd.gradcheck(loss, (gates,))


@pytest.mark.parametrize("size", [0, 1])
def test_a_newborn_behind_a_shut_gate_is_not_there_and_then_comes_slowly(size):
    """What the organism answers changes from what it was without a jump."""
    organism, family = built(size=size), species(size=size)
    inputs, _ = inputs_of(organism)
    without = organism(inputs)
    newborn = next(s for s in range(organism.pool.size) if s not in SLOTS[size])
    populate(family, organism, (newborn,), seed=8)
    gates = torch.ones(organism.pool.size)
    changes = []
    for gate in (0, 1e-4, 0.03, 0.3, 1):
        gates[newborn] = gate
        changes.append((organism(inputs, gates) - without).norm().item())
    assert changes[:2] == [0, 0]
    assert changes == sorted(changes)
    assert torch.equal(organism(inputs, gates), organism(inputs))


@pytest.mark.parametrize("size", [0, 1])
def test_an_empty_slot_is_chosen_by_no_token(size):
    organism = built(size=size)
    inputs, _ = inputs_of(organism)
    empty = [slot for slot in range(organism.pool.size) if slot not in SLOTS[size]]
    gates = torch.ones(organism.pool.size)
    before = organism(inputs, gates)
    gates[empty] = torch.nan
    assert torch.equal(organism(inputs, gates), before)
    assert torch.equal(organism(inputs), before)


def test_an_organism_of_empty_slots_is_its_interface():
    organism = small_organism(species(size=1), ())
    inputs, targets = inputs_of(organism)
    expected = by_definition(naive.outputs, organism, inputs)
    torch.testing.assert_close(organism(inputs).double(), expected, rtol=1e-4, atol=1e-5)
    losses = example_losses(organism.task, organism(inputs), targets)
    assert torch.equal(organism.training_losses(inputs, targets), losses)


def test_in_which_slots_of_a_layer_experts_live_makes_no_difference():
    family = species(size=1)
    one, other = small_organism(family, (0, 1, 4)), small_organism(family, ())
    for slot, place in ((0, 3), (1, 0), (4, 6)):
        other.pool.graft(place, one.pool.genome(slot), one.pool.occupants[slot])
    inputs, _ = inputs_of(one)
    torch.testing.assert_close(one(inputs), other(inputs))


def test_room_for_more_slots_and_larger_experts_makes_no_difference():
    task = small_task()
    small = small_organism(small_species(task, "experts", capacity=3), (0, 2))
    roomy = {"capacity": 9, "max_rank": 9, "max_hidden": 19}
    large = small_species(task, "experts", **roomy).organism(small.interface)
    for slot, occupant in small.pool.alive():
        large.pool.graft(slot, small.pool.genome(slot), occupant)
    inputs, _ = inputs_of(small)
    torch.testing.assert_close(small(inputs), large(inputs))


def test_more_experts_a_token_than_live_are_as_many_as_live():
    task = small_task()
    few, many = (small_organism(small_species(task, "experts", experts_per_token=k), (0, 2)) for k in (2, 5))
    inputs, _ = inputs_of(few)
    assert torch.equal(few(inputs), many(inputs))


def test_a_birth_brings_an_expert_and_its_column_a_death_takes_both_and_others_keep_their_history():
    organism, source = built(), small_organism(species(), (1,), seed=4)
    pool = organism.pool
    for name, tensor in pool.tensors().items():
        if not name.startswith("stacks."):
            tensor += 1.5
    before = {name: tensor.clone() for name, tensor in pool.tensors().items()}
    tokens = torch.randn(4, 7, 9, generator=torch.Generator().manual_seed(2))
    chosen = organism.routed(0, tokens).slots_Tk
    pool.graft(1, source.pool.genome(1), source.pool.occupants[1])
    torch.testing.assert_close(organism.logits(0, tokens)[..., 1], source.logits(0, tokens)[..., 1])
    assert (organism.routed(0, tokens).slots_Tk == 1).any()
    others = [0, 2, 3]
    for name, tensor in pool.tensors().items():
        assert torch.equal(tensor[others], before[name][others])
        assert bool(tensor[1].any()) == name.startswith("stacks.")
    pool.retire(1)
    assert not any(tensor[1].any() for tensor in pool.tensors().values())
    assert torch.equal(organism.routed(0, tokens).slots_Tk, chosen)
    assert all(torch.equal(tensor[others], before[name][others]) for name, tensor in pool.tensors().items())


def test_when_an_expert_dies_its_tokens_go_to_those_that_they_like_next():
    organism = built()
    tokens = torch.randn(4, 7, 9, generator=torch.Generator().manual_seed(2))
    before = organism.routed(0, tokens)
    organism.pool.retire(2)
    after = organism.routed(0, tokens)
    served = (before.slots_Tk == 2).any(1)
    assert 0 < served.sum() < len(served)
    assert not (after.slots_Tk == 2).any()
    assert torch.equal(after.slots_Tk[~served], before.slots_Tk[~served])
    assert torch.equal(after.weights_Tk[~served], before.weights_Tk[~served])
    assert (after.slots_Tk[served].sort(1).values == torch.tensor([0, 3])).all()
    torch.testing.assert_close(after.weights_Tk.sum(1), torch.ones(28))


def test_of_equal_experts_the_first_are_chosen():
    organism = small_organism(species(), ())
    source = built()
    for slot in (1, 3, 4):
        organism.pool.graft(slot, source.pool.genome(0), source.pool.occupants[0])
    routed = organism.routed(0, torch.randn(2, 7, 9))
    assert (routed.slots_Tk == torch.tensor([1, 3])).all()
    torch.testing.assert_close(routed.weights_Tk, torch.full((14, 2), 0.5))


@pytest.mark.parametrize("size", range(len(SIZES)))
def test_what_is_observed_is_what_is_computed(size):
    """Sorted by expert or every expert on every token: the same but for rounding."""
    organism = in_float64(built(size=size))
    shape = (5, 7, SIZES[size].get("dim", 9))
    h = torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for layer in range(organism.pool.depth):
        assert bool(organism.mixed(layer, h).any()) == bool(organism.pool.living(layer))
        torch.testing.assert_close(organism.mixed(layer, h), organism.observed(layer, h).writes.total())


def test_fifty_times_the_same_bits():
    organism = built(size=1)
    inputs, targets = inputs_of(organism)
    stacks = list(organism.pool.stacks.values())
    for stack in stacks:
        stack.requires_grad_()

    def once():
        losses = organism.training_losses(inputs, targets)
        return [losses.detach(), *torch.autograd.grad(losses.mean(), stacks)]

    first = once()
    for _ in range(50):
        assert all(torch.equal(one, other) for one, other in zip(first, once(), strict=True))


@pytest.mark.parametrize("size", range(len(SIZES)))
def test_a_causal_organism_does_not_look_ahead(size):
    organism = built(("token", "discrete", True), size)
    inputs, _ = inputs_of(organism)
    changed = inputs.clone()
    changed[:, 4:] = (inputs[:, 4:] + 1) % 3
    before, after = organism(inputs), organism(changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_organisms_of_one_family_share_nothing_but_the_interface():
    family = species()
    one, other = small_organism(family), small_organism(family)
    inputs, _ = inputs_of(one)
    assert torch.equal(one(inputs), other(inputs))
    one.pool.retire(0)
    populate(family, one, (0, 1), seed=9)
    assert not torch.allclose(one(inputs), other(inputs))


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_an_organism_computes_where_its_interface_lies(kind):
    """On a device without memory, which refuses whatever lies elsewhere."""
    family = species(kind, 1)
    organism = family.organism({n: t.to("meta") for n, t in interface_of(family).items()})
    assert {tensor.device.type for tensor in organism.pool.tensors().values()} == {"meta"}
    inputs, _ = inputs_of(organism)
    outputs = organism(inputs.to("meta"), torch.ones(8, device="meta"))
    assert outputs.device.type == "meta"
    assert outputs.shape == built(kind, 1)(inputs).shape
    populate(family, organism, SLOTS[1])
    h = torch.empty(5, 7, 9, device="meta")
    parts = (organism.logits(0, h), organism.hidden(0, h), *organism.matrices(1))
    assert {part.device.type for part in parts} == {"meta"}
    if kind[1] == "continuous":
        with pytest.raises(RuntimeError, match=r"meta"):
            organism(inputs)


def test_with_one_expert_a_token_the_task_alone_still_trains_the_router():
    species = small_species(small_task(), "experts", experts_per_token=1, balance=0.0)
    organism = small_organism(species, (0, 1, 3))
    route = organism.pool.stacks["route"].requires_grad_()
    (slope,) = torch.autograd.grad(organism.training_losses(*examples_of(species.task)).mean(), route)
    assert slope[[0, 1, 3]].abs().sum(-1).min() > 0
