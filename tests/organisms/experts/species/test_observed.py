import math

import numpy as np
import pytest
import torch

from organisms.experts.species.cost import cost
from organisms.experts.species.observed import observe
from tests.fixtures.naive_interface import parts
from tests.organisms.cases import CASES, Case, probed, rewrite
from tests.organisms.experts import naive_experts as naive

SPAN, SPARSITY, FLOW, LOCALITY, INTENSITY = range(5)
EXPERTS = Case("experts", shape="one layer")


def passes(organism, inputs):
    experts = parts(organism)
    return [naive.passed(organism, experts, one) for one in inputs]


def measured(organism, slot, sent):
    """Span, sparsity, locality and intensity of one expert by the words of their definitions."""
    expert, task = parts(organism)[slot], organism.task
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


@pytest.mark.parametrize("case", [case for case in CASES if case.family == "experts"], ids=str)
def test_measures_are_those_of_the_definition(case):
    _, organism, inputs, _, probe = probed(case)
    sent = passes(organism, inputs)
    for slot, row in zip(probe.slots, probe.measures.tolist(), strict=True):
        span, sparsity, locality, intensity = measured(organism, slot, sent)
        assert row[SPAN] == pytest.approx(span, abs=1e-5)
        assert row[SPARSITY] == pytest.approx(sparsity, abs=1e-6)
        assert row[LOCALITY] == pytest.approx(locality, abs=1e-5)
        assert row[INTENSITY] == intensity


def test_an_expert_that_no_token_likes_has_measures_and_no_worth():
    family, organism, inputs, targets, _ = probed(EXPERTS)
    organism.interface["position"][:, 0] = 30.0  # one direction that all tokens have
    rewrite(organism, 2, route=[-50.0, *[0.0] * 8])
    probe = family.probe(organism, inputs, targets)
    assert not any(2 in token for one in passes(organism, inputs) for token in one.shares[0])
    assert probe.ablations[1].item() == 0
    assert probe.gradients[1].item() == 0
    span, sparsity, locality, intensity = measured(organism, 2, passes(organism, inputs))
    assert (span, sparsity, locality) == (0, 0, 0)
    assert probe.measures[1].tolist() == [0, 0, -12, 0, intensity]
    assert probe.measures[0, INTENSITY] > intensity


def test_an_expert_that_writes_nothing_keeps_its_tokens_from_others_and_stays_finite():
    family, organism, inputs, targets, _ = probed(EXPERTS)
    rank = int(organism.pool.occupants[2].gene("rank"))
    rewrite(organism, 2, **{"down.V": np.zeros((rank, 9))})
    probe = family.probe(organism, inputs, targets)
    assert probe.measures.isfinite().all()
    assert (probe.measures[1, [SPAN, LOCALITY]] == 0).all()
    assert probe.gradients[1].item() > 1e-4
    assert abs(probe.ablations[1].item()) > 1e-4


def test_alone_and_equal_on_all_tokens_an_expert_bridges_the_mean_distance_of_two():
    """All tokens are alike, so that mass is even: the entropy is the largest there is."""
    family, organism, _, _, _ = probed(EXPERTS, (2,))
    organism.interface["position"].zero_()
    inputs = torch.ones(4, 7, 3)
    probe = family.probe(organism, inputs, torch.zeros(4, dtype=torch.int64))
    row = probe.measures[0]
    assert probe.gradients.tolist() == [0]  # exactly: its odds compete with nobody's
    distances = family.task.distances
    mean = distances.sum() / (7 * 6) / distances.max()
    assert row[SPAN].item() == pytest.approx(mean, rel=1e-5)
    assert row[LOCALITY].item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("ratio", [1e-2, 1e-5, 1e-7])
def test_two_tokens_are_as_far_apart_as_they_are_however_uneven_their_mass(ratio):
    """Two tokens of the same answer, one with a smaller weight."""
    task = EXPERTS.species().task
    hidden = torch.ones(1, 1, task.length, 1)
    hidden[:, :, 2:] = 0
    hidden[:, :, 1] = ratio
    logits, down = torch.zeros(1, task.length, 1), torch.ones(1, 1, 4)
    genes = [{"activation": 0.0, "hidden": 1.0, "rank": 1.0}]
    found = observe(task, 2, genes, logits, hidden, down)
    assert found.span.item() == pytest.approx(task.distances[0, 1], rel=1e-4)
