import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from organisms.experts.cost import cost
from organisms.nn import example_losses
from qd.measures import MEASURES
from tests.organisms.experts import naive_experts as naive
from tests.small_worlds import KINDS, NAMES, examples_of, small_organism, small_species, small_task

DEPTHS = {1: (0, 2, 3), 2: (0, 2, 3, 4, 6)}
SPAN, SPARSITY, FLOW, LOCALITY, INTENSITY = range(5)


def probed(kind=KINDS[0], depth=1, slots=None, **options):
    sizes = {"depth": depth, "capacity": 5 if depth == 1 else 4} | options
    family = small_species(small_task(*kind), "experts", **sizes)
    organism = small_organism(family, DEPTHS[depth] if slots is None else slots)
    inputs, targets = examples_of(family.task)
    return family, organism, inputs, targets, family.probe(organism, inputs, targets)


def naive_losses(organism, inputs, targets, gates):
    experts = naive.experts(organism)
    return naive.losses(
        *(organism.task, organism.interface, experts, inputs, targets, organism.pool.depth, gates),
        k=organism.k,
    )


def gates_of(organism, slot, value):
    return [value if other == slot else 1.0 for other in range(organism.pool.size)]


def passes(organism, inputs):
    experts, depth = naive.experts(organism), organism.pool.depth
    return [
        naive.passed(organism.task, organism.interface, experts, one, depth, k=organism.k) for one in inputs
    ]


def measured(organism, slot, sent):
    """Span, sparsity, locality and intensity of one expert by the words of their definitions."""
    expert, task = naive.experts(organism)[slot], organism.task
    spans, localities, numbers, answered = [], [], [], 0
    for one in sent:
        masses = [0.0] * task.length
        for s, token in enumerate(naive.norm(one.entering[expert.layer])):
            weight = one.shares[expert.layer][s].get(slot)
            if weight is not None:
                answered += 1
                numbers += naive.hidden(expert, token).tolist()
                masses[s] = (weight * naive.answer(expert, token)).norm().item()
        if sum(masses) == 0:
            continue
        m = [mass / sum(masses) for mass in masses]
        pairs = [(s, t) for s in range(task.length) for t in range(task.length) if s != t]
        both = sum(m[s] * m[t] for s, t in pairs)
        apart = sum(m[s] * m[t] * math.dist(task.positions[s], task.positions[t]) for s, t in pairs)
        spans.append(apart / both if both else 0.0)
        localities.append(-sum(mass * math.log(mass) for mass in m if mass))
    flops, moved = cost(task, organism.interface["embed"].shape[1], expert.genes, answered, len(sent))
    small = 0.1 * math.sqrt(np.mean(np.square(numbers))) if numbers else 0.0
    return (
        np.mean(spans or [0]) / task.distances.max(),
        np.mean(np.abs(numbers or [0]) < small),
        np.mean(localities or [0]) / math.log(task.length),
        math.log2(flops / moved),
    )


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
class TestAgainstTheDefinition:
    def test_loss_and_slots(self, kind, depth):
        _, organism, inputs, targets, probe = probed(kind, depth)
        assert probe.slots == DEPTHS[depth]
        expected = naive_losses(organism, inputs, targets, None).mean()
        assert probe.loss == pytest.approx(expected.item(), rel=1e-5)

    def test_gate_gradients_are_finite_differences(self, kind, depth):
        """A gate multiplies the odds of its expert."""
        _, organism, inputs, targets, probe = probed(kind, depth)
        for slot, found in zip(probe.slots, probe.gradients.tolist(), strict=True):
            up, down = (
                naive_losses(organism, inputs, targets, gates_of(organism, slot, 1 + sign * 1e-6))
                for sign in (1, -1)
            )
            slopes = (up - down) / 2e-6
            assert found == pytest.approx(slopes.abs().sqrt().mean().square().item(), rel=1e-4)
        relative = probe.gradients / probe.gradients.mean()
        torch.testing.assert_close(probe.measures[:, FLOW], torch.log10(relative))

    def test_ablations_are_what_gating_off_does(self, kind, depth):
        """Its tokens go to those that they like next; the layers after it choose anew."""
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
        _, organism, inputs, _, probe = probed(kind, depth)
        sent = passes(organism, inputs)
        for slot, row in zip(probe.slots, probe.measures.tolist(), strict=True):
            span, sparsity, locality, intensity = measured(organism, slot, sent)
            assert row[SPAN] == pytest.approx(span, abs=1e-5)
            assert row[SPARSITY] == pytest.approx(sparsity, abs=1e-6)
            assert row[LOCALITY] == pytest.approx(locality, abs=1e-5)
            assert row[INTENSITY] == intensity


@pytest.mark.parametrize("k", [1, 5])
def test_measures_of_one_expert_a_token_and_of_all(k):
    _, organism, inputs, _, probe = probed(experts_per_token=k)
    sent = passes(organism, inputs)
    for slot, row in zip(probe.slots, probe.measures.tolist(), strict=True):
        expected = measured(organism, slot, sent)
        assert [row[column] for column in (SPAN, SPARSITY, LOCALITY, INTENSITY)] == pytest.approx(
            expected, abs=1e-5
        )


def test_gate_gradients_of_the_organism_itself_agree():
    _, organism, inputs, targets, probe = probed(depth=2)
    gates = torch.ones(organism.pool.size).requires_grad_()
    rows = [
        torch.autograd.grad(loss, gates, retain_graph=True)[0]
        for loss in example_losses(organism.task, organism(inputs, gates), targets)
    ]
    expected = torch.stack(rows).double().abs().sqrt().mean(0).square()[list(probe.slots)]
    torch.testing.assert_close(probe.gradients, expected, rtol=1e-4, atol=1e-7)


def with_arrays(organism, slot, genes=(), **arrays):
    """Replace the expert in a slot."""
    genome, occupant = organism.pool.genome(slot), organism.pool.occupants[slot]
    organism.pool.retire(slot)
    changed = {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()}
    values = tuple(sorted((dict(genome.genes) | dict(genes)).items()))
    organism.pool.graft(slot, replace(genome, genes=values, arrays=dict(genome.arrays) | changed), occupant)


def test_an_expert_that_no_token_likes_has_measures_and_no_worth():
    family, organism, inputs, targets, _ = probed()
    organism.interface["position"][:, 0] = 30.0  # one direction that all tokens have
    with_arrays(organism, 2, route=[-50.0, *[0.0] * 8])
    probe = family.probe(organism, inputs, targets)
    assert not any(2 in token for one in passes(organism, inputs) for token in one.shares[0])
    assert probe.ablations[1].item() == 0
    assert probe.gradients[1].item() == 0
    span, sparsity, locality, intensity = measured(organism, 2, passes(organism, inputs))
    assert (span, sparsity, locality) == (0, 0, 0)
    assert probe.measures[1].tolist() == [0, 0, -12, 0, intensity]
    assert probe.measures[0, INTENSITY] > intensity


def test_an_expert_that_writes_nothing_keeps_its_tokens_from_others_and_stays_finite():
    family, organism, inputs, targets, _ = probed()
    rank = int(organism.pool.occupants[2].gene("rank"))
    with_arrays(organism, 2, **{"down.V": np.zeros((rank, 9))})
    probe = family.probe(organism, inputs, targets)
    assert probe.measures.isfinite().all()
    assert (probe.measures[1, [SPAN, LOCALITY]] == 0).all()
    assert probe.gradients[1].item() > 1e-4
    assert abs(probe.ablations[1].item()) > 1e-4


@pytest.mark.parametrize("options", [{}, {"experts_per_token": 1}, {"experts_per_token": 5}], ids=str)
@pytest.mark.parametrize("depth", DEPTHS)
def test_an_ablation_is_what_a_death_does(depth, options):
    _, organism, inputs, targets, probe = probed(depth=depth, **options)
    before = example_losses(organism.task, organism(inputs), targets).double().mean()
    for slot, found in zip(probe.slots, probe.ablations.tolist(), strict=True):
        genome, occupant = organism.pool.genome(slot), organism.pool.occupants[slot]
        organism.pool.retire(slot)
        after = example_losses(organism.task, organism(inputs), targets).double().mean()
        organism.pool.graft(slot, genome, occupant)
        assert found == pytest.approx((after - before).item(), abs=2e-6)
        assert abs(found) > 1e-5


def test_alone_and_equal_on_all_tokens_an_expert_bridges_the_mean_distance_of_two():
    """All tokens are alike, so that mass is even: the entropy is the largest there is."""
    family, organism, _, _, _ = probed(slots=(2,))
    organism.interface["position"].zero_()
    inputs = torch.ones(4, 7, 3)
    row = family.probe(organism, inputs, torch.zeros(4, dtype=torch.int64)).measures[0]
    distances = family.task.distances
    mean = distances.sum() / (7 * 6) / distances.max()
    assert row[SPAN].item() == pytest.approx(mean, rel=1e-5)
    assert row[LOCALITY].item() == pytest.approx(1, rel=1e-5)


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
    rank = int(dict(genome.genes)["rank"])
    square, arrays = turn[:rank, :rank], {}
    for name in ("up", "down"):
        arrays[f"{name}.U"] = genome.arrays[f"{name}.U"] @ square
        arrays[f"{name}.V"] = np.linalg.inv(square) @ genome.arrays[f"{name}.V"]
    with_arrays(organism, 2, **arrays)
    again = family.probe(organism, inputs, targets)
    torch.testing.assert_close(again.measures, probe.measures, rtol=1e-3, atol=5e-3)
    torch.testing.assert_close(again.ablations, probe.ablations, rtol=1e-3, atol=1e-5)


def test_no_measure_is_constant():
    *_, probe = probed(depth=2)
    assert all(len(column.unique()) == len(probe.slots) for column in probe.measures.T)


@pytest.mark.parametrize("slots", [(4, 6), (0, 2)])
def test_one_layer_may_be_empty(slots):
    _, organism, inputs, targets, probe = probed(depth=2, slots=slots)
    assert probe.slots == slots
    assert probe.measures.isfinite().all()
    literal = organism(inputs, torch.tensor(gates_of(organism, slots[0], 0.0)))
    expected = example_losses(organism.task, literal, targets).double().mean() - probe.loss
    assert probe.ablations[0].item() == pytest.approx(expected.item(), abs=2e-5)
