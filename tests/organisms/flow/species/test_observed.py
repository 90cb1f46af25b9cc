import math

import numpy as np
import pytest
import torch

from organisms.flow.species.cost import cost
from tests.fixtures.naive_interface import norm, parts
from tests.organisms.cases import CASES, Case, probed, rewrite
from tests.organisms.flow import naive_patterns as naive
from tests.organisms.hosted import grafted, settled

OWN = (
    *("attention_span", "activation_sparsity", "access_locality", "compute_intensity"),
    *("attention_entropy", "attention_sharpness", "neighbour_coherence"),
)


def row(pattern, h, task, receiver):
    """From where a token receives by all channels of a pattern, [S], with sum 1."""
    p = np.zeros(len(h))
    for flow in naive.sends(pattern, h, task, receiver):
        for s, share in flow.items():
            p[s] += share.item()
    return p / p.sum()


def by_words(host, genome, inputs):
    """Measures of one guest in one host by the words of their definitions."""
    task, dim, S = host.task, host.interface["embed"].shape[1], host.task.length
    with grafted(host, genome) as slot:
        patterns = parts(host)
        sent = [naive.passed(host, patterns, one) for one in inputs]
    own = {other: one for other, one in patterns.items() if one.layer == genome.depth}
    weights, spans, spreads, entropies, numbers = [], [], [], [], []
    flow = {other: np.zeros((S, S)) for other in own}
    for one in sent:
        h = norm(one.entering[genome.depth])
        for t, mixture in enumerate(one.shares[genome.depth]):
            for other, w in mixture.items():
                flow[other][t] += w.item() * row(own[other], h, task, t)
            if slot not in mixture:
                continue
            p = row(own[slot], h, task, t)
            middle = p @ task.positions
            weights.append(mixture[slot].item())
            spans.append(sum(p[s] * math.dist(task.positions[t], task.positions[s]) for s in range(S)))
            spreads.append(math.sqrt(sum(p[s] * math.dist(task.positions[s], middle) ** 2 for s in range(S))))
            entropies.append(-sum(each * math.log(each) for each in p if each))
            numbers += naive.given(own[slot], h, task, t).tolist()
    flops, moved = cost(task, dim, own[slot].genes, len(weights), len(sent))
    small = 0.1 * math.sqrt(np.mean(np.square(numbers))) if numbers else 0.0
    cosines = []
    for other in own:
        sizes = np.linalg.norm(flow[slot]) * np.linalg.norm(flow[other])
        if other != slot:
            cosines.append((flow[slot] * flow[other]).sum() / sizes if sizes else 0.0)

    def weighted(values):
        return np.average(values, weights=weights) if weights else 0.0

    return {
        "attention_span": weighted(spans) / task.distances.max(),
        "access_locality": weighted(spreads) / task.distances.max(),
        "attention_entropy": weighted(entropies) / math.log(S),
        "attention_sharpness": np.mean(weights) if weights else 0.0,
        "activation_sparsity": np.mean(np.abs(numbers) < small) if numbers else 0.0,
        "compute_intensity": math.log2(flops / moved),
        "neighbour_coherence": np.mean(cosines) if cosines else 0.0,
    }


@pytest.mark.parametrize("case", [case for case in CASES if case.family == "flow"], ids=str)
def test_measures_are_those_of_the_definition(case):
    at = settled(case)
    assay = at.species.assay(at.guest, at.frozen, OWN)
    for number, genome in enumerate(at.genomes()):
        words = [by_words(host, genome, at.inputs) for host in at.hosts]
        for name in OWN:
            expected = np.mean([one[name] for one in words])
            assert assay.measures[name][number].item() == pytest.approx(expected, rel=1e-4, abs=1e-5), name


def test_a_pattern_that_no_token_mixes_has_measures_and_no_worth():
    at = settled(Case("flow", shape="one layer"))
    for organism in (at.guest, *at.hosts):
        organism.interface["position"] = organism.interface["position"].clone()
        organism.interface["position"][:, 0] = 30.0  # one direction that all tokens have
    rewrite(at.guest, 2, route=[-50.0, *[0.0] * 8])
    host = at.hosts[0]  # as many patterns as a token mixes, or more
    for slot, _ in host.pool.alive():
        rewrite(host, slot, route=[1.0, *[0.0] * 8])
    frozen = at.species.host(host, at.inputs, at.targets)
    assay = at.species.assay(at.guest, [frozen], at.species.measures)
    assert (assay.drops[1] == 0).all()
    for name in OWN:
        value = assay.measures[name][1].item()
        assert value == 0 if name != "compute_intensity" else math.isfinite(value), name


def test_a_wider_window_spans_more_and_one_position_is_no_spread():
    at = settled(Case("flow", shape="one layer"))
    frozen = [at.species.host(at.hosts[2], at.inputs, at.targets)]
    rewrite(at.guest, 0, {"window": 0.01})  # nearer than any two tokens
    rewrite(at.guest, 2, {"positions": 1.0, "channels": 1.0}, **one_channel(at.guest.pool.genome(2)))
    found = at.species.assay(at.guest, frozen, OWN).measures
    assert found["attention_span"][0] < 1e-6
    assert found["attention_span"][1] > 0.01
    assert found["access_locality"][1] < 1e-6
    assert found["attention_entropy"][1] < 1e-6


def one_channel(genome):
    return {name: genome.arrays[name][:1] for name in ("match", "value", "decay", "intensity", "level")}


def test_tokens_that_are_seen_are_those_of_the_task():
    organism = Case("flow", ("class", "discrete", True), "one layer").organism()
    h = torch.randn(2, 7, 9, generator=torch.Generator().manual_seed(0))
    found = organism.residents(0, h)
    for place, gene in enumerate(found.genes):
        hidden = torch.from_numpy(~organism.task.visible(gene["window"]))
        rows = found.flows.rows_BnCSS[:, place]
        assert not rows[..., hidden].any()
        assert 1 <= (rows > 0).sum(-1).min() <= (rows > 0).sum(-1).max() <= gene["positions"]


@pytest.mark.parametrize("variant", [None, "one each"])
def test_tokens_that_mix_a_pattern_are_counted(variant):
    _, organism, inputs, _, probe = probed(Case("flow", variant=variant))
    sent = [naive.passed(organism, parts(organism), one) for one in inputs]
    for slot, counts in zip(probe.slots, probe.routed_tokens.tolist(), strict=True):
        layer = organism.pool.layer(slot)
        assert counts == [sum(slot in mixture for mixture in one.shares[layer]) for one in sent]
