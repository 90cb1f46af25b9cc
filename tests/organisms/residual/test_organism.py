"""What every family's organisms have to be, and what the base class of most of them does."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.families import FAMILIES
from organisms.residual.organism import quiet_share
from tests.fixtures import naive_interface
from tests.fixtures.small_worlds import (
    DEFINED,
    KINDS,
    NAMES,
    examples_of,
    interface_of,
    populate,
    small_species,
)
from tests.organisms.cases import (
    CASES,
    SHAPES,
    Case,
    defined_losses,
    defined_outputs,
    in_float64,
    losses,
    rewrite,
    tensors_of,
)

# Organisms keep scales and distances in float32 whatever the rest is in, definitions in float64.
CLOSE = {"rtol": 1e-6, "atol": 1e-7}


def some_gates(case):
    """Gates under and over 1, and one that shuts out a living slot where there are more."""
    organism = case.organism()
    gates = torch.linspace(0.1, 3, organism.pool.size, dtype=torch.float64)
    if len(case.slots) > 1:
        gates[case.slots[1]] = 0
    return gates


def drawn(like, seed=1):
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("case", CASES, ids=str)
class TestAgainstTheDefinition:
    def test_outputs(self, case):
        organism, (wide, wide_inputs, _) = case.organism(), in_float64(case.organism())
        inputs, _ = examples_of(organism.task)
        for gates in (None, some_gates(case)):
            expected = defined_outputs(organism, inputs, gates)
            found = organism(inputs, None if gates is None else gates.float())
            torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(wide(wide_inputs, gates), expected, **CLOSE)

    @pytest.mark.parametrize("gated", [False, True])
    def test_what_training_minimises_and_its_gradients_by_arrays_and_gates(self, case, gated):
        organism, inputs, targets = in_float64(case.organism())
        parts, stacks = naive_interface.parts(organism), organism.pool.stacks
        leaves = {(slot, name): part.arrays[name] for slot, part in parts.items() for name in stacks}
        for leaf in leaves.values():
            leaf.requires_grad_()
        gates = some_gates(case).requires_grad_() if gated else None
        definition = DEFINED[case.family].definition
        expected = definition.training_losses(organism, parts, inputs, targets, gates)
        found = organism.training_losses(inputs, targets, gates)
        torch.testing.assert_close(found, expected, **CLOSE)
        wanted, by_stack = (
            torch.autograd.grad(each, [*by, *[gates] * gated], drawn(each), materialize_grads=True)
            for each, by in ((expected, leaves.values()), (found, stacks.values()))
        )
        padded = {name: torch.zeros_like(stack) for name, stack in stacks.items()}
        for (slot, name), gradient in zip(leaves, wanted, strict=False):
            padded[name][(slot, *map(slice, gradient.shape))] = gradient
        for one, other in zip(by_stack, (*padded.values(), *wanted[len(leaves) :]), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)

    def test_what_is_observed_is_what_is_computed(self, case):
        organism, *_ = in_float64(case.organism())
        h = drawn(torch.empty(4, organism.task.length, organism.interface["embed"].shape[1]))
        for layer in range(organism.pool.depth):
            written = organism.mixed(layer, h)
            assert bool(written.any()) == bool(organism.pool.living(layer))
            torch.testing.assert_close(organism.observed(layer, h).writes.total(), written)


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    @pytest.mark.parametrize("shut", [(2,), (4, 6)])  # of the second layer these are all
    def test_a_gate_of_1_is_as_none_given_and_one_of_0_as_an_empty_slot(self, family, shut):
        organism = Case(family).organism()
        inputs, targets = examples_of(organism.task)
        gates = torch.ones(organism.pool.size)
        gates[[1, 5, 7]] = torch.tensor([0.0, 0.5, 1e30])  # nobody lives there
        assert torch.equal(organism(inputs, gates), organism(inputs))
        assert torch.equal(
            organism.training_losses(inputs, targets, gates), organism.training_losses(inputs, targets)
        )
        gates[list(shut)] = 0
        found = organism(inputs, gates), organism.training_losses(inputs, targets, gates)
        for slot in shut:
            organism.pool.retire(slot)
        torch.testing.assert_close(
            found, (organism(inputs), organism.training_losses(inputs, targets)), rtol=1e-5, atol=1e-5
        )

    def test_a_newborn_behind_a_shut_gate_is_not_there_and_then_comes_slowly(self, family):
        organism, species = Case(family).organism(), Case(family).species()
        inputs, _ = examples_of(organism.task)
        before = organism(inputs)
        populate(species, organism, (1,), seed=8)
        gates, changes = torch.ones(organism.pool.size), []
        for gate in (0, 1e-4, 0.03, 0.3, 1):
            gates[1] = gate
            changes.append((organism(inputs, gates) - before).norm().item())
        assert changes == sorted(changes)
        assert changes[0] == pytest.approx(0, abs=1e-6)
        assert changes[1] < 0.01 * changes[-1]

    def test_an_organism_of_empty_slots_is_its_interface(self, family):
        organism = Case(family).organism(())
        inputs, targets = examples_of(organism.task)
        expected = defined_losses(organism, inputs, targets)
        torch.testing.assert_close(losses(organism, inputs, targets), expected, rtol=1e-4, atol=1e-5)
        shut = torch.zeros(organism.pool.size)
        assert torch.equal(organism(inputs, shut), organism(inputs))
        for gates in (None, shut):
            found = organism.training_losses(inputs, targets, gates).double()
            assert torch.equal(found, losses(organism, inputs, targets))

    def test_a_birth_and_a_death_leave_the_others_their_history(self, family):
        organism, species = Case(family).organism(), Case(family).species()
        inputs, _ = examples_of(organism.task)
        outputs, pool, others = organism(inputs), organism.pool, [0, 2, 3, 4, 5, 6, 7]
        for name, tensor in pool.tensors().items():
            if not name.startswith("stacks."):
                tensor += 1.5
        before = tensors_of(organism)
        populate(species, organism, (1,), seed=4)
        assert not torch.allclose(organism(inputs), outputs)
        for name, tensor in pool.tensors().items():
            assert torch.equal(tensor[others], before[name][others])
            assert name.startswith("stacks.") or not tensor[1].any()
        pool.retire(1)
        assert torch.equal(organism(inputs), outputs)
        for name, tensor in pool.tensors().items():
            assert torch.equal(tensor[others], before[name][others])
            assert not tensor[1].any()

    def test_neither_places_in_a_layer_nor_room_for_more_and_larger_components_matter(self, family):
        case = Case(family)
        one = case.organism((0, 1, 4))
        larger = {name: 2 * size + 1 for name, size in DEFINED[family].largest.items()}
        roomy = small_species(one.task, family, depth=2, capacity=9, **larger).organism(one.interface)
        moved = case.organism(())
        for other, places in ((moved, (3, 0, 6)), (roomy, (0, 1, 9)), (roomy, (8, 2, 16))):
            for slot, _ in list(other.pool.alive()):
                other.pool.retire(slot)
            for (slot, occupant), place in zip(one.pool.alive(), places, strict=True):
                other.pool.graft(place, one.pool.genome(slot), occupant)
            inputs, targets = examples_of(one.task)
            torch.testing.assert_close(
                other.training_losses(inputs, targets), one.training_losses(inputs, targets)
            )

    def test_organisms_share_nothing_but_the_interface(self, family):
        one, species = Case(family).organism(), Case(family).species()
        other = species.organism(one.interface)
        populate(species, other, Case(family).slots)
        inputs, _ = examples_of(one.task)
        before = other(inputs)
        assert torch.equal(one(inputs), before)
        one.pool.retire(0)
        populate(species, one, (0, 1), seed=9)
        one.interface["bias"] = one.interface["bias"] + 1
        assert not torch.allclose(one(inputs), before)
        assert torch.equal(other(inputs), before)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_a_causal_organism_does_not_look_ahead(self, family, shape):
        organism = Case(family, ("token", "discrete", True), shape).organism()
        inputs, _ = examples_of(organism.task)
        changed = inputs.clone()
        changed[:, 4:] = (inputs[:, 4:] + 1) % 3
        before, after = organism(inputs), organism(changed)
        torch.testing.assert_close(before[:, :4], after[:, :4])
        assert not torch.allclose(before[:, 4:], after[:, 4:])

    def test_fifty_times_the_same_bits(self, family):
        organism = Case(family).organism()
        inputs, targets = examples_of(organism.task)
        stacks = [stack.requires_grad_() for stack in organism.pool.stacks.values()]

        def once():
            found = organism.training_losses(inputs, targets)
            return [found.detach(), *torch.autograd.grad(found.mean(), stacks)]

        first = once()
        for _ in range(50):
            assert all(torch.equal(one, other) for one, other in zip(first, once(), strict=True))

    @pytest.mark.parametrize("kind", KINDS, ids=NAMES)
    def test_an_organism_computes_where_its_interface_lies(self, family, kind):
        """On a device without memory, which refuses whatever lies elsewhere."""
        species = Case(family, kind).species()
        organism = species.organism({n: t.to("meta") for n, t in interface_of(species).items()})
        assert {tensor.device.type for tensor in organism.pool.tensors().values()} == {"meta"}
        inputs, _ = examples_of(organism.task)
        outputs = organism(inputs.to("meta"), torch.ones(8, device="meta"))
        assert outputs.device.type == "meta"
        assert outputs.shape == Case(family, kind).organism()(inputs).shape
        if kind[1] == "continuous":
            with pytest.raises(RuntimeError, match=r"meta"):
                organism(inputs)

    def test_stats_count_living_slots_and_their_own_parameters(self, family):
        organism = Case(family).organism()
        for slot, _ in organism.pool.alive():
            arrays = {name: array * 0 + 1 for name, array in organism.pool.genome(slot).arrays.items()}
            rewrite(organism, slot, **arrays)
        numbers = sum(int(stack.sum()) for stack in organism.pool.stacks.values())
        assert organism.stats() == {"alive": 5.0, "parameters": numbers}


def test_quiet_is_what_lies_under_a_tenth_of_the_root_mean_square():
    numbers = torch.tensor([0.0, 0.099, -0.099, 0.101, -0.101, *[1.0] * 395, *[-1.0] * 600])
    numbers[5] = (1000 - (numbers.square().sum() - 1)).sqrt()  # so that it is 1
    for scale in (1e-3, 1.0, 1e3):
        assert quiet_share(scale * numbers).item() == pytest.approx(3 / 1000)


@given(st.lists(st.floats(-9, 9), min_size=1))
def test_something_is_never_quiet(numbers):
    assert 0 <= quiet_share(torch.tensor(numbers, dtype=torch.float64)) < 1


def test_of_nothing_no_share_is_quiet():
    assert quiet_share(torch.zeros(0, 3)).item() == 0
    assert quiet_share(torch.zeros(4)).item() == 0
