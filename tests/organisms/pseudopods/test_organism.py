from dataclasses import replace

import numpy as np
import pytest
import torch

from organisms.nn import example_losses
from organisms.pseudopods.organism import PseudopodOrganism
from tests import naive_pseudopods as naive
from tests.small_worlds import KINDS, NAMES, examples_of, populate, small_organism, small_species, small_task

SIZES = [
    {},
    {"depth": 2, "capacity": 3},
    {"dim": 3, "max_rank": 1, "max_width": 1, "max_window": 1},
    {"depth": 3, "capacity": 2, "dim": 13, "max_rank": 7, "max_width": 5, "max_window": 2},
]
SLOTS = [(0, 2, 3), (0, 2, 4), (1,), (0, 1, 2, 5)]


def built(kind=KINDS[0], size=0) -> PseudopodOrganism:
    return small_organism(small_species(small_task(*kind), **SIZES[size]), SLOTS[size])


def in_float64(organism: PseudopodOrganism) -> PseudopodOrganism:
    organism.interface = {name: tensor.double() for name, tensor in organism.interface.items()}
    pool = organism.pool
    pool.stacks = {name: stack.double().requires_grad_() for name, stack in pool.stacks.items()}
    return organism


def inputs_of(organism, wide=False):
    inputs, targets = examples_of(organism.task)
    return (inputs.double() if wide and inputs.is_floating_point() else inputs), targets


@pytest.mark.parametrize("size", range(len(SIZES)))
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_outputs_are_those_of_one_head_and_one_query_at_a_time(kind, size):
    organism = built(kind, size)
    inputs, _ = inputs_of(organism)
    expected = naive.outputs(
        organism.task, organism.interface, naive.heads(organism), inputs, SIZES[size].get("depth", 1)
    )
    torch.testing.assert_close(organism(inputs).double(), expected, rtol=1e-4, atol=1e-5)
    wide = in_float64(organism)(inputs_of(organism, wide=True)[0])
    # Scales and distances are float32, so float64 agrees to those.
    torch.testing.assert_close(wide, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("size", [0, 3])
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_gates_scale_what_slots_write(kind, size):
    organism = built(kind, size)
    inputs, _ = inputs_of(organism)
    gates = torch.linspace(-0.5, 1.5, organism.pool.size)
    expected = naive.outputs(
        organism.task,
        organism.interface,
        naive.heads(organism),
        inputs,
        SIZES[size].get("depth", 1),
        gates.tolist(),
    )
    torch.testing.assert_close(organism(inputs, gates).double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [0, 3])
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_every_gradient_is_that_of_one_head_at_a_time(kind, size):
    organism = in_float64(built(kind, size))
    inputs, targets = inputs_of(organism, wide=True)
    heads = naive.heads(organism)
    names = list(organism.pool.stacks)
    leaves = {(s, name): heads[s].arrays[name].requires_grad_() for s in heads for name in names}
    loss = naive.losses(
        organism.task, organism.interface, heads, inputs, targets, SIZES[size].get("depth", 1)
    ).mean()
    expected = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    found = torch.autograd.grad(
        example_losses(organism.task, organism(inputs), targets).mean(), list(organism.pool.stacks.values())
    )
    for name, stack in zip(names, found, strict=True):
        for slot in range(organism.pool.size):
            wanted = torch.zeros_like(stack[slot])
            if slot in heads:
                gradient = expected[slot, name]
                wanted[: gradient.shape[0], : gradient.shape[1]] = gradient
            torch.testing.assert_close(stack[slot], wanted, rtol=1e-5, atol=1e-9)


def test_the_gradient_by_a_gate_is_that_of_finite_differences():
    organism = in_float64(built(KINDS[0], 3))
    inputs, targets = inputs_of(organism, wide=True)
    gates = torch.linspace(0.5, 1.5, organism.pool.size, dtype=torch.float64).requires_grad_()

    def loss(gates):
        return example_losses(organism.task, organism(inputs, gates), targets)

    assert torch.autograd.gradcheck(loss, (gates,))


@pytest.mark.parametrize("size", [0, 3])
def test_an_empty_slot_contributes_exactly_nothing(size):
    organism = built(size=size)
    inputs, _ = inputs_of(organism)
    empty = [slot for slot in range(organism.pool.size) if slot not in SLOTS[size]]
    gates = torch.ones(organism.pool.size)
    before = organism(inputs, gates)
    gates[empty] = -1e30
    assert torch.equal(organism(inputs, gates), before)


def test_an_organism_of_empty_slots_is_its_interface():
    organism = small_organism(small_species(small_task()), ())
    inputs, _ = inputs_of(organism)
    assert torch.equal(organism(inputs), organism(inputs, torch.zeros(5)))
    expected = naive.outputs(organism.task, organism.interface, {}, inputs)
    torch.testing.assert_close(organism(inputs).double(), expected, rtol=1e-4, atol=1e-5)


def test_in_which_slots_of_a_layer_heads_live_makes_no_difference():
    family = small_species(small_task(), depth=2, capacity=4)
    one, other = small_organism(family, (0, 1, 4)), small_organism(family, ())
    for slot, place in ((0, 3), (1, 0), (4, 6)):
        other.pool.graft(place, one.pool.genome(slot), one.pool.occupants[slot])
    inputs, _ = inputs_of(one)
    torch.testing.assert_close(one(inputs), other(inputs))


def test_room_for_more_slots_and_larger_heads_makes_no_difference():
    task = small_task()
    small = small_organism(small_species(task, capacity=3, max_rank=3, max_width=5), (0, 2))
    large = small_species(task, capacity=9, max_rank=9, max_width=9).organism(small.interface)
    for slot, occupant in small.pool.alive():
        large.pool.graft(slot, small.pool.genome(slot), occupant)
    inputs, _ = inputs_of(small)
    torch.testing.assert_close(small(inputs), large(inputs))


def test_retiring_a_slot_is_gating_it_off():
    organism = built(size=3)
    inputs, _ = inputs_of(organism)
    gates = torch.ones(organism.pool.size)
    gates[2] = 0
    expected = organism(inputs, gates)
    organism.pool.retire(2)
    torch.testing.assert_close(organism(inputs), expected)


@pytest.mark.parametrize("size", range(len(SIZES)))
def test_a_causal_organism_does_not_look_ahead(size):
    organism = built(("token", "discrete", True), size)
    inputs, _ = inputs_of(organism)
    changed = inputs.clone()
    changed[:, 4:] = (inputs[:, 4:] + 1) % 3
    before, after = organism(inputs), organism(changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_a_window_of_one_token_hides_all_others():
    task = replace(small_task("token", "discrete"), positions=np.arange(7.0)[:, None])
    organism = small_organism(small_species(task, depth=2, max_window=1), (0, 1, 6))
    inputs, _ = inputs_of(organism)
    changed = inputs.clone()
    changed[:, 2] = (inputs[:, 2] + 1) % 3
    before, after = organism(inputs), organism(changed)
    others = [0, 1, 3, 4, 5, 6]
    assert torch.equal(before[:, others], after[:, others])


def test_organisms_of_one_family_share_nothing_but_the_interface():
    family = small_species(small_task())
    one, other = small_organism(family), small_organism(family)
    inputs, _ = inputs_of(one)
    assert torch.equal(one(inputs), other(inputs))
    one.pool.retire(0)
    populate(family, one, (0, 1), seed=9)
    assert not torch.allclose(one(inputs), other(inputs))


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_an_organism_computes_where_its_interface_lies(kind):
    """On a device without memory, which refuses whatever lies elsewhere."""
    family, inputs = small_species(small_task(*kind), depth=2), inputs_of(built(kind))[0]
    organism = family.organism({n: t.to("meta") for n, t in built(kind).interface.items()})
    assert {tensor.device.type for tensor in organism.pool.tensors().values()} == {"meta"}
    outputs = organism(inputs.to("meta"), torch.ones(10, device="meta"))
    assert outputs.device.type == "meta"
    assert outputs.shape == built(kind)(inputs).shape
    if kind[1] == "continuous":
        with pytest.raises(RuntimeError, match=r"meta"):
            organism(inputs)
