import math

import numpy as np
import pytest
import torch

from organisms.experts.species.cost import cost
from organisms.experts.species.observed import describe
from organisms.residual.candidates import Candidates, Guests
from organisms.residual.writes import Writes
from tests.fixtures.naive_interface import parts
from tests.organisms.cases import CASES, Case, rewrite
from tests.organisms.experts import naive_experts as naive
from tests.organisms.hosted import grafted, settled
from tests.organisms.masses import by_mass, mean

OWN = (
    *("attention_span", "activation_sparsity", "access_locality", "compute_intensity"),
    *("attention_entropy", "attention_sharpness", "neighbour_coherence"),
)
EXPERTS = Case("experts", shape="one layer")


def masses(sent, experts, slot):
    """What an expert adds to every token, its norm, [P][S]."""
    layer = experts[slot].layer
    return [
        [
            (weights[slot] * naive.answer(experts[slot], token)).norm().item() if slot in weights else 0.0
            for token, weights in zip(naive.norm(one.entering[layer]), one.shares[layer], strict=True)
        ]
        for one in sent
    ]


def by_words(host, genome, inputs):
    """Measures of one guest in one host by the words of their definitions."""
    task, dim = host.task, host.interface["embed"].shape[1]
    with grafted(host, genome) as slot:
        experts = parts(host)
        sent = [naive.passed(host, experts, one) for one in inputs]
    expert = experts[slot]
    own = {other: one for other, one in experts.items() if one.layer == expert.layer}
    numbers, entropies, weights = [], [], []
    for one in sent:
        for token, chosen in zip(
            naive.norm(one.entering[expert.layer]), one.shares[expert.layer], strict=True
        ):
            if slot in chosen:
                numbers += naive.hidden(expert, token).tolist()
                weights.append(chosen[slot].item())
                p = list(naive.chosen(own, token, len(own)).values())
                entropies.append(-sum(float(q * torch.log(q)) for q in p))
    flops, moved = cost(task, dim, expert.genes, len(weights), len(sent))
    small = 0.1 * math.sqrt(np.mean(np.square(numbers))) if numbers else 0.0
    others = [masses(sent, experts, other) for other in own if other != slot]
    return by_mass(masses(sent, experts, slot), others, task) | {
        "activation_sparsity": mean(np.abs(numbers) < small),
        "compute_intensity": math.log2(flops / moved),
        "attention_entropy": mean(entropies) / max(math.log(len(own)), 1e-12),
        "attention_sharpness": mean(weights),
    }


@pytest.mark.parametrize("case", [case for case in CASES if case.family == "experts"], ids=str)
def test_measures_are_those_of_the_definition(case):
    at = settled(case)
    assay = at.species.assay(at.guest, at.frozen, OWN)
    for row, genome in enumerate(at.genomes()):
        words = [by_words(host, genome, at.inputs) for host in at.hosts]
        for name in OWN:
            expected = mean([one[name] for one in words])
            assert assay.measures[name][row].item() == pytest.approx(expected, rel=1e-4, abs=1e-5), name


def in_one(at, host):
    """What the second component is in one host, and all drops there."""
    frozen = at.species.host(host, at.inputs, at.targets)
    assay = at.species.assay(at.guest, [frozen], at.species.measures)
    return {name: column[1].item() for name, column in assay.measures.items()}, assay


def test_an_expert_that_no_token_likes_has_measures_and_no_worth():
    at = settled(EXPERTS)
    for organism in (at.guest, *at.hosts):
        organism.interface["position"] = organism.interface["position"].clone()
        organism.interface["position"][:, 0] = 30.0  # one direction that all tokens have
    rewrite(at.guest, 2, route=[-50.0, *[0.0] * 8])
    host = at.hosts[0]  # as many experts as a token is routed to, or more
    for slot, _ in host.pool.alive():
        rewrite(host, slot, route=[1.0, *[0.0] * 8])
    row, assay = in_one(at, host)
    assert len(list(host.pool.alive())) >= host.k
    assert (assay.drops[1] == 0).all()
    assert assay.gradients[1].item() == 0
    words = by_words(host, at.guest.pool.genome(2), at.inputs)
    for name, value in row.items():
        match name:
            case "gradient_flow" | "write_strength":
                assert value == -12
            case "compute_intensity":
                assert value == words[name]
            case _:
                assert value == 0, name


def test_an_expert_that_writes_nothing_keeps_its_tokens_from_others_and_stays_finite():
    at = settled(EXPERTS)
    inner = int(at.guest.pool.occupants[2].gene("rank"))
    rewrite(at.guest, 2, **{"down.V": np.zeros((inner, 9))})
    row, assay = in_one(at, at.hosts[0])
    assert all(math.isfinite(value) for value in row.values())
    for name in ("attention_span", "access_locality", "effective_rank", "write_likeness", "write_constancy"):
        assert row[name] == 0
    assert assay.gradients[1].item() > 1e-4
    assert assay.drops[1].abs().max() > 1e-4
    assert row["attention_sharpness"] > 0.1


def test_alone_and_equal_on_all_tokens_an_expert_bridges_the_mean_distance_of_two():
    """All tokens are alike, so that mass is even: the entropy is the largest there is."""
    at = settled(EXPERTS)
    empty = at.hosts[2]
    empty.interface["position"] = torch.zeros_like(empty.interface["position"])
    frozen = at.species.host(empty, torch.ones(4, 7, 3), torch.zeros(4, dtype=torch.int64))
    row = {
        name: column[1].item() for name, column in at.species.assay(at.guest, [frozen], OWN).measures.items()
    }
    distances = at.species.task.distances
    assert row["attention_span"] == pytest.approx(distances.sum() / (7 * 6) / distances.max(), rel=1e-5)
    assert row["access_locality"] == pytest.approx(1, rel=1e-5)
    assert (row["attention_entropy"], row["attention_sharpness"], row["neighbour_coherence"]) == (0, 1, 0)


@pytest.mark.parametrize("ratio", [1e-2, 1e-5, 1e-7])
def test_two_tokens_are_as_far_apart_as_they_are_however_uneven_their_mass(ratio):
    """Two tokens of the same answer, one with a smaller weight."""
    task = EXPERTS.species().task
    hidden = torch.ones(1, 1, task.length, 1)
    hidden[:, :, 2:] = 0
    hidden[:, :, 1] = ratio
    genes = [{"activation": 0.0, "hidden": 1.0, "rank": 1.0}]
    down = torch.ones(1, 1, 4)
    alone = Candidates(torch.zeros(task.length, 1), Writes(hidden, down), genes)
    nobody = Candidates(torch.zeros(task.length, 0), Writes(hidden[:, :0], down[:0]), [])
    found = describe(task, 4, nobody, Guests.among(2, nobody, alone), ["attention_span"])
    expected = task.distances[0, 1] / task.distances.max()
    assert found["attention_span"].item() == pytest.approx(expected, rel=1e-4)
