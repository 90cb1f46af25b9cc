import math

import numpy as np
import pytest
import torch

from organisms.towers.species.cost import cost
from tests.fixtures.naive_interface import parts
from tests.organisms.cases import CASES, Case, rewrite
from tests.organisms.hosted import grafted, settled
from tests.organisms.masses import by_mass, mean
from tests.organisms.towers import naive_towers as naive

OWN = (
    *("attention_span", "activation_sparsity", "access_locality", "compute_intensity"),
    *("attention_entropy", "attention_sharpness", "neighbour_coherence"),
)


def by_words(host, genome, inputs):
    """Measures of one guest in one host by the words of their definitions."""
    task, dim = host.task, host.interface["embed"].shape[1]
    with grafted(host, genome) as slot:
        towers = parts(host)
        sent = [naive.passed(host, towers, one) for one in inputs]
    own = {other: one for other, one in towers.items() if one.layer == towers[slot].layer}
    numbers, entropies, shares = [], [], []
    norms = {other: [] for other in own}
    for one in sent:
        h = naive.ends.norm(one.entering[genome.depth])
        said, weights = naive.heard(host, own, h)
        told = naive.messages(host, own, h, dict.fromkeys(own, 1.0))[slot]
        for each in naive.stream(towers[slot], h, task.causal, told)[1]:
            numbers += each.flatten().tolist()
        for other in own:
            norms[other].append((weights[other].unsqueeze(1) * said[other]).norm(dim=1).tolist())
        for token in range(task.length):
            whole = sum(norms[other][-1][token] for other in own)
            p = {other: norms[other][-1][token] / whole for other in own}
            shares.append(p[slot])
            entropies.append(-sum(each * math.log(each) for each in p.values()))
    flops, moved = cost(task, dim, towers[slot].genes, host.messages)
    small = 0.1 * math.sqrt(np.mean(np.square(numbers)))
    others = [norms[other] for other in own if other != slot]
    return by_mass(norms[slot], others, task) | {
        "activation_sparsity": mean(np.abs(numbers) < small),
        "compute_intensity": math.log2(flops / moved),
        "attention_entropy": mean(entropies) / max(math.log(len(own)), 1e-12),
        "attention_sharpness": mean(shares),
    }


@pytest.mark.parametrize("case", [case for case in CASES if case.family == "towers"], ids=str)
def test_measures_are_those_of_the_definition(case):
    at = settled(case)
    assay = at.species.assay(at.guest, at.frozen, OWN)
    for row, genome in enumerate(at.genomes()):
        words = [by_words(host, genome, at.inputs) for host in at.hosts]
        for name in OWN:
            expected = mean([one[name] for one in words])
            assert assay.measures[name][row].item() == pytest.approx(expected, rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("variant", [None, "gated", "sum"])
def test_a_tower_that_says_nothing_has_measures_and_takes_from_others_only_where_they_compete(variant):
    at = settled(Case("towers", shape="one layer", variant=variant))
    genome = at.guest.pool.genome(2)
    rewrite(at.guest, 2, write=np.zeros_like(genome.arrays["write"]))
    assay = at.species.assay(
        at.guest, [at.species.host(at.hosts[0], at.inputs, at.targets)], at.species.measures
    )
    row = {name: column[1].item() for name, column in assay.measures.items()}
    assert all(math.isfinite(value) for value in row.values())
    for name in ("attention_span", "access_locality", "effective_rank", "write_likeness", "write_constancy"):
        assert row[name] == 0
    assert (row["attention_sharpness"], row["neighbour_coherence"]) == (0, 0)
    assert (assay.drops[1].abs().max() > 1e-4) == (variant is None)


def test_what_is_left_of_a_layer_without_a_tower_is_as_if_it_were_dead():
    organism = Case("towers", shape="one layer").organism()
    h = torch.randn(4, 7, 9, generator=torch.Generator().manual_seed(2))
    changes = list(organism.observed(0, h).without([0, 2, 3]))
    before = organism.mixed(0, h)
    for slot, change in zip([0, 2, 3], changes, strict=True):
        retired = organism.pool.retire(slot)
        torch.testing.assert_close(before + change, organism.mixed(0, h), rtol=1e-4, atol=1e-5)
        organism.pool.restore(slot, retired)
