"""Shards against the parts of a transformer that torch has, and their measures against the words that define them."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from organisms.layers.norms import rms_norm
from organisms.nn import readout, stem
from organisms.transformer.species.cost import cost
from tests.fixtures.naive_interface import norm, parts
from tests.fixtures.small_worlds import LENGTH, examples_of, small_organism, small_species, small_task
from tests.organisms.cases import CASES
from tests.organisms.hosted import grafted, settled
from tests.organisms.transformer import naive_transformer as naive

OWN = (
    *("attention_span", "activation_sparsity", "access_locality", "compute_intensity"),
    *("attention_entropy", "attention_sharpness", "neighbour_coherence"),
)


@pytest.mark.parametrize("causal", [False, True])
def test_full_layers_are_those_of_torchs_attention_and_feed_forward_network(causal):
    """Of three heads of width 4 in a stream of width 12, as `torch.nn.MultiheadAttention` has them."""
    task = small_task(causal=causal)
    sizes = {"max_width": 4, "min_width": 4, "max_hidden": 5, "min_hidden": 5}
    species = small_species(task, "transformer", dim=12, depth=2, capacity=3, **sizes)
    organism = small_organism(species, range(6))
    inputs, _ = examples_of(task)
    x = stem(task, organism.interface, inputs)
    mask = torch.ones(LENGTH, LENGTH).tril().logical_not() if causal else None
    for layer in range(2):
        stacks = {name: organism.pool.layers(name)[layer] for name in organism.pool.stacks}
        attention = nn.MultiheadAttention(12, 3, bias=False, batch_first=True)
        with torch.no_grad():
            q, k = stacks["qk.U"].transpose(1, 2).flatten(0, 1), stacks["qk.V"].flatten(0, 1)
            v = stacks["ov.U"].transpose(1, 2).flatten(0, 1)
            attention.in_proj_weight.copy_(torch.cat([q, k, v]))
            attention.out_proj.weight.copy_(stacks["ov.V"].flatten(0, 1).T)
        h = F.rms_norm(x, (12,), eps=1e-6)
        attended, _ = attention(h, h, h, attn_mask=mask, need_weights=False)
        rise, fall = stacks["in"].transpose(1, 2).flatten(0, 1), stacks["out"].flatten(0, 1)
        x = x + attended + F.linear(F.gelu(F.linear(h, rise)), fall.T)
    torch.testing.assert_close(organism(inputs), readout(task, organism.interface, x), rtol=1e-4, atol=1e-5)


def by_words(host, genome, inputs):
    """Measures of one guest in one host by the words of their definitions."""
    task, dim, S = host.task, host.interface["embed"].shape[1], host.task.length
    with grafted(host, genome) as slot:
        shards = parts(host)
        reads = [norm(naive.passing(host, shards, one).entering[genome.depth]) for one in inputs]
    own = {other: shard for other, shard in shards.items() if shard.layer == genome.depth}
    rows = {other: [naive.weights(task, shard, h).numpy() for h in reads] for other, shard in own.items()}
    spans, spreads, entropies, sharpest = [], [], [], []
    for p_SS in rows[slot]:
        for i, p in enumerate(p_SS):
            middle = p @ task.positions
            spans.append(p @ task.distances[i])
            spreads.append(math.sqrt(sum(p[s] * math.dist(task.positions[s], middle) ** 2 for s in range(S))))
            entropies.append(-sum(each * math.log(each) for each in p if each))
            sharpest.append(p.max())
    numbers = torch.stack([naive.hidden(own[slot], h) for h in reads]).flatten().numpy()
    means = {other: np.mean(each, axis=0).ravel() for other, each in rows.items()}
    cosines = [
        means[slot] @ means[other] / (np.linalg.norm(means[slot]) * np.linalg.norm(means[other]))
        for other in own
        if other != slot
    ]
    flops, moved = cost(task, dim, own[slot].genes)
    return {
        "attention_span": np.mean(spans) / task.distances.max(),
        "access_locality": np.mean(spreads) / task.distances.max(),
        "attention_entropy": np.mean(entropies) / math.log(S),
        "attention_sharpness": np.mean(sharpest),
        "activation_sparsity": np.mean(np.abs(numbers) < 0.1 * math.sqrt(np.mean(numbers**2))),
        "compute_intensity": math.log2(flops / moved),
        "neighbour_coherence": np.mean(cosines) if cosines else 0.0,
    }


@pytest.mark.parametrize("case", [case for case in CASES if case.family == "transformer"], ids=str)
def test_measures_are_those_of_the_definition(case):
    at = settled(case)
    assay = at.species.assay(at.guest, at.frozen, OWN)
    for number, genome in enumerate(at.genomes()):
        words = [by_words(host, genome, at.inputs) for host in at.hosts]
        for name in OWN:
            expected = np.mean([one[name] for one in words])
            assert assay.measures[name][number].item() == pytest.approx(expected, rel=1e-4, abs=1e-5), name


def test_a_shard_of_no_use_changes_nothing_and_the_norm_is_torchs():
    species = small_species(small_task(), "transformer")
    organism = small_organism(species, ())
    inputs, _ = examples_of(species.task)
    x = stem(species.task, organism.interface, inputs)
    torch.testing.assert_close(organism(inputs), readout(species.task, organism.interface, x))
    torch.testing.assert_close(rms_norm(x), F.rms_norm(x, (9,), eps=1e-6))
