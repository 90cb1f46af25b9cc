import math

import numpy as np
import pytest
import torch

from organisms.nn import example_losses
from qd.measures import MEASURES
from tests import naive_pseudopods as naive
from tests.small_worlds import KINDS, NAMES, examples_of, small_organism, small_species, small_task

DEPTHS = {1: (0, 2, 3), 2: (0, 2, 3, 4, 6)}
SPAN, SPARSITY, FLOW, LOCALITY, INTENSITY = range(5)


def probed(kind=KINDS[0], depth=1, slots=None):
    family = small_species(small_task(*kind), depth=depth, capacity=5 if depth == 1 else 4)
    organism = small_organism(family, DEPTHS[depth] if slots is None else slots)
    inputs, targets = examples_of(family.task)
    return family, organism, inputs, targets, family.probe(organism, inputs, targets)


def naive_losses(organism, inputs, targets, gates):
    heads = naive.heads(organism)
    return naive.losses(organism.task, organism.interface, heads, inputs, targets, organism.pool.depth, gates)


def gates_of(organism, slot, value):
    return [value if other == slot else 1.0 for other in range(organism.pool.size)]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
class TestAgainstTheDefinition:
    def test_loss_and_slots(self, kind, depth):
        _, organism, inputs, targets, probe = probed(kind, depth)
        assert probe.slots == DEPTHS[depth]
        expected = naive_losses(organism, inputs, targets, None).mean()
        assert probe.loss == pytest.approx(expected.item(), rel=1e-5)

    def test_gate_gradients_are_finite_differences(self, kind, depth):
        _, organism, inputs, targets, probe = probed(kind, depth)
        for slot, found in zip(probe.slots, probe.gradients.tolist(), strict=True):
            up, down = (
                naive_losses(organism, inputs, targets, gates_of(organism, slot, 1 + sign * 1e-5))
                for sign in (1, -1)
            )
            slopes = (up - down) / 2e-5
            assert found == pytest.approx(slopes.abs().sqrt().mean().square().item(), rel=1e-4)
        relative = probe.gradients / probe.gradients.mean()
        torch.testing.assert_close(probe.measures[:, FLOW], torch.log10(relative))

    def test_ablations_are_what_gating_off_does(self, kind, depth):
        _, organism, inputs, targets, probe = probed(kind, depth)
        before = naive_losses(organism, inputs, targets, None).mean()
        for slot, found in zip(probe.slots, probe.ablations.tolist(), strict=True):
            gates = gates_of(organism, slot, 0.0)
            expected = naive_losses(organism, inputs, targets, gates).mean() - before
            assert found == pytest.approx(expected.item(), abs=2e-5)
            outputs = organism(inputs, torch.tensor(gates))
            literal = example_losses(organism.task, outputs, targets).double().mean() - probe.loss
            assert found == pytest.approx(literal.item(), abs=2e-5)

    def test_measures(self, kind, depth):
        family, organism, inputs, _, probe = probed(kind, depth)
        task, heads = organism.task, naive.heads(organism)
        streams = [naive.streams(task, organism.interface, heads, one, depth) for one in inputs]
        distances, places = torch.from_numpy(task.distances), torch.from_numpy(task.positions)
        for slot, row in zip(probe.slots, probe.measures.tolist(), strict=True):
            head = heads[slot]
            reads = [naive.norm(stream[head.layer]) for stream in streams]
            p = torch.stack([naive.weights(task, head, one) for one in reads])  # [B, S, S]
            span = (p * distances).sum(-1).mean() / distances.max()
            assert row[SPAN] == pytest.approx(span.item(), abs=1e-5)
            apart = (places - (p @ places)[:, :, None]).square().sum(-1)  # of each key from the middle
            locality = (p * apart).sum(-1).clamp_min(0).sqrt().mean() / distances.max()
            assert row[LOCALITY] == pytest.approx(locality.item(), abs=2e-4)
            y = torch.stack([naive.written(task, head, one) for one in reads])
            quiet = (y.abs() < 0.1 * y.square().mean().sqrt()).double().mean()
            assert row[SPARSITY] == pytest.approx(quiet.item(), abs=2 / y.numel())
            flops, moved = family.cost(organism.pool.occupants[slot].genes)
            assert row[INTENSITY] == math.log2(flops / moved)


def test_gate_gradients_of_the_organism_itself_agree():
    _, organism, inputs, targets, probe = probed(depth=2)
    gates = torch.ones(organism.pool.size).requires_grad_()
    rows = [
        torch.autograd.grad(loss, gates, retain_graph=True)[0]
        for loss in example_losses(organism.task, organism(inputs, gates), targets)
    ]
    expected = torch.stack(rows).double().abs().sqrt().mean(0).square()[list(probe.slots)]
    torch.testing.assert_close(probe.gradients, expected, rtol=1e-4, atol=1e-7)


def with_arrays(organism, slot, genes, **arrays):
    """Replace the head in a slot."""
    genome, occupant = organism.pool.genome(slot), organism.pool.occupants[slot]
    organism.pool.retire(slot)
    values = tuple(sorted((dict(genome.genes) | genes).items()))
    changed = {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()}
    made = type(genome)(genome.family, genome.depth, values, dict(genome.arrays) | changed)
    organism.pool.graft(slot, made, occupant)


def test_a_head_of_no_preference_has_the_span_and_locality_of_the_whole_sequence():
    family, organism, inputs, targets, _ = probed()
    with_arrays(
        organism, 2, {"rank": 1.0, "window": 99.0}, **{"qk.U": np.zeros((9, 1)), "qk.V": np.zeros((1, 9))}
    )
    row = family.probe(organism, inputs, targets).measures[1]
    distances, places = family.task.distances, family.task.positions
    spread = math.sqrt(((places - places.mean(0)) ** 2).sum(-1).mean())
    assert row[SPAN].item() == pytest.approx(distances.mean() / distances.max(), rel=1e-6)
    assert row[LOCALITY].item() == pytest.approx(spread / distances.max(), rel=1e-5)


def test_a_head_that_sees_only_its_own_token_has_no_span_and_no_spread():
    family, organism, inputs, targets, _ = probed()
    smallest = family.task.distances[family.task.distances > 0].min()
    with_arrays(organism, 2, {"window": smallest})
    row = family.probe(organism, inputs, targets).measures[1]
    assert row[SPAN].item() == 0
    assert row[LOCALITY].item() == pytest.approx(0, abs=1e-3)


def test_a_head_that_writes_nothing_is_worth_nothing_and_stays_finite():
    family, organism, inputs, targets, _ = probed()
    width = int(organism.pool.occupants[2].gene("width"))
    with_arrays(organism, 2, {}, **{"ov.V": np.zeros((width, 9))})
    probe = family.probe(organism, inputs, targets)
    assert probe.ablations[1].item() == pytest.approx(0, abs=1e-6)
    assert probe.gradients[1].item() == 0
    assert probe.measures.isfinite().all()
    assert probe.measures[1, FLOW].item() == -12


def test_gradient_flow_is_measured_against_the_organisms_mean():
    *_, probe = probed(depth=2)
    assert (10 ** probe.measures[:, FLOW]).mean().item() == pytest.approx(1)


def test_looking_leaves_no_trace():
    family, organism, inputs, targets, probe = probed(depth=2)
    before = {name: tensor.clone() for name, tensor in organism.pool.tensors().items()}
    again = family.probe(organism, inputs, targets)
    assert all(torch.equal(tensor, before[name]) for name, tensor in organism.pool.tensors().items())
    assert not any(tensor.requires_grad for tensor in organism.pool.tensors().values())
    for name in ("measures", "gradients", "ablations"):
        first, second = getattr(probe, name), getattr(again, name)
        assert first.dtype == torch.float64
        assert not first.requires_grad
        assert torch.equal(first, second)
    assert probe.measures.shape == (5, len(MEASURES))


def test_measures_do_not_depend_on_the_gauge_of_the_factors():
    family, organism, inputs, targets, probe = probed()
    genome, turn = organism.pool.genome(2), np.random.default_rng(1).normal(size=(9, 9))
    arrays = {}
    for name in ("qk", "ov"):
        inner = genome.arrays[f"{name}.U"].shape[1]
        square = turn[:inner, :inner]
        arrays[f"{name}.U"] = genome.arrays[f"{name}.U"] @ square
        arrays[f"{name}.V"] = np.linalg.inv(square) @ genome.arrays[f"{name}.V"]
    with_arrays(organism, 2, {}, **arrays)
    again = family.probe(organism, inputs, targets)
    torch.testing.assert_close(again.measures, probe.measures, rtol=1e-3, atol=5e-3)
    torch.testing.assert_close(again.ablations, probe.ablations, rtol=1e-3, atol=1e-5)


def test_one_layer_may_be_empty():
    _, organism, inputs, targets, probe = probed(depth=2, slots=(4, 6))
    assert probe.slots == (4, 6)
    assert probe.measures.isfinite().all()
    (slot, _), _ = organism.pool.alive()
    assert slot == 4
    literal = organism(inputs, torch.tensor(gates_of(organism, 4, 0.0)))
    expected = example_losses(organism.task, literal, targets).double().mean() - probe.loss
    assert probe.ablations[0].item() == pytest.approx(expected.item(), abs=2e-5)
