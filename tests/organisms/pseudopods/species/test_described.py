"""What is measured of a head in a host: where it attends, and how like the host's own heads."""

import math

import numpy as np
import pytest
import torch

from organisms.pseudopods.species.organism import ATTENTION
from tests.fixtures import naive_pseudopods as naive
from tests.organisms.cases import CASES, Case, rewrite
from tests.organisms.hosted import grafted, settled, told

OWN = (*ATTENTION, "activation_sparsity", "compute_intensity", "neighbour_coherence")
HEADS = Case("pseudopods", shape="one layer")


def reads(host, heads, inputs, layer):
    return [naive.norm(naive.streams(host, heads, one)[layer]) for one in inputs]


def patterns(host, heads, inputs, layer):
    """Attention weights of each head of a layer in each chunk, [P K, T, M + T]: to tubes, and to tokens."""
    T, M = host.task.sight, 0 if host.memory is None else host.memory.capacity
    found = {slot: [] for slot, head in heads.items() if head.layer == layer}
    for h in reads(host, heads, inputs, layer):
        held = naive.held(host, layer, h)
        for slot, chunks in found.items():
            p = naive.weights(host.task, heads[slot], h, held)
            for first, tubes in zip(range(0, len(p), T), held, strict=True):
                rows = p[first : first + T]
                kept = rows[:, [token for token, _ in tubes]]
                none = torch.zeros(T, M - len(tubes), dtype=p.dtype)
                chunks.append(torch.cat([kept, none, rows[:, first : first + T]], 1))
    return {slot: torch.stack(chunks) for slot, chunks in found.items()}


def by_words(case, at, host, genome):
    """Measures of one guest in one host by the words of their definitions."""
    task, each = host.task, told(case, at, host, genome)
    places = torch.from_numpy(task.positions)[: task.sight]
    found = patterns(host, each.parts, at.inputs, genome.depth)
    p = found.pop(each.slot)
    queries, tubes = places, p.shape[-1] - len(places)
    places = torch.cat([places.new_full((tubes, places.shape[1]), -1.0), places])
    distances = torch.cdist(queries, places)
    apart = (places - (p @ places)[:, :, None]).square().sum(-1)  # of each key from the middle
    cosines = [
        (p.mean(0) * other.mean(0)).sum() / p.mean(0).norm() / other.mean(0).norm()
        for other in found.values()
    ]
    flops, moved = at.species.cost(genome.genes)
    return {
        "attention_span": (p * distances).sum(-1).mean() / distances.max(),
        "access_locality": (p * apart).sum(-1).clamp_min(0).sqrt().mean() / distances.max(),
        "attention_entropy": -torch.xlogy(p, p).sum(-1).mean() / math.log(p.shape[-1]),
        "attention_sharpness": p.amax(-1).mean(),
        "activation_sparsity": (each.wrote.abs() < 0.1 * each.wrote.square().mean().sqrt()).double().mean(),
        "compute_intensity": math.log2(flops / moved),
        "neighbour_coherence": sum(cosines) / max(1, len(cosines)),
    }


@pytest.mark.parametrize("case", [case for case in CASES if case.family == "pseudopods"], ids=str)
def test_measures_are_those_of_the_definition(case):
    at = settled(case)
    assay = at.species.assay(at.guest, at.frozen, OWN)
    for row, genome in enumerate(at.genomes()):
        words = [by_words(case, at, host, genome) for host in at.hosts]
        for name in OWN:
            expected = float(np.mean([float(one[name]) for one in words]))
            assert assay.measures[name][row].item() == pytest.approx(expected, rel=1e-4, abs=5e-4), name


def changed(genes=None, **arrays):
    """A head with other genes and arrays in hosts, and its measures there."""
    at = settled(HEADS)
    rewrite(at.guest, 2, genes, **arrays)
    assay = at.species.assay(at.guest, at.frozen, at.species.measures)
    return at, assay, {name: column[1].item() for name, column in assay.measures.items()}


def test_a_head_of_no_preference_has_the_span_locality_and_entropy_of_the_whole_sequence():
    at, _, row = changed(
        {"rank": 1.0, "window": 99.0}, **{"qk.U": np.zeros((9, 1)), "qk.V": np.zeros((1, 9))}
    )
    distances, places = at.species.task.distances, at.species.task.positions
    spread = math.sqrt(((places - places.mean(0)) ** 2).sum(-1).mean())
    assert row["attention_span"] == pytest.approx(distances.mean() / distances.max(), rel=1e-6)
    assert row["access_locality"] == pytest.approx(spread / distances.max(), rel=1e-5)
    assert row["attention_entropy"] == pytest.approx(1, rel=1e-6)
    assert row["attention_sharpness"] == pytest.approx(1 / 7, rel=1e-6)


def test_a_head_that_sees_only_its_own_token_has_no_span_no_spread_and_no_doubt():
    distances = HEADS.species().task.distances
    _, _, row = changed({"window": distances[distances > 0].min()})
    assert (row["attention_span"], row["attention_entropy"], row["attention_sharpness"]) == (0, 0, 1)
    assert row["access_locality"] == pytest.approx(0, abs=1e-3)


def test_a_head_that_writes_nothing_is_worth_nothing_and_stays_finite():
    width = int(settled(HEADS).guest.pool.occupants[2].gene("width"))
    _, assay, row = changed(**{"ov.V": np.zeros((width, 9))})
    assert assay.drops[1].abs().max() < 1e-6
    assert assay.gradients[1].item() == 0
    assert all(math.isfinite(value) for value in row.values())
    assert (row["gradient_flow"], row["write_strength"]) == (-12, -12)
    assert (row["effective_rank"], row["write_likeness"], row["write_constancy"]) == (0, 0, 0)


def test_a_head_of_one_direction_has_an_effective_rank_of_one():
    width = int(settled(HEADS).guest.pool.occupants[2].gene("width"))
    _, _, row = changed(**{"ov.V": np.outer(np.linspace(1, 2, width), np.arange(9))})
    assert row["effective_rank"] == pytest.approx(1, rel=1e-5)


def test_a_twin_of_the_only_head_of_a_host_looks_and_writes_as_it_does():
    at = settled(HEADS)
    host = at.hosts[1]  # of one head
    (slot, _) = next(iter(host.pool.alive()))
    with grafted(at.guest, host.pool.genome(slot)):
        place = [one for one, _ in at.guest.pool.alive()].index(1)
        found = at.species.assay(at.guest, [at.frozen[1]], at.species.measures).measures
    assert found["neighbour_coherence"][place].item() == pytest.approx(1, rel=1e-5)
    assert found["write_likeness"][place].item() == pytest.approx(1, rel=1e-5)
    others = [one for one in range(len(found["write_likeness"])) if one != place]
    assert found["write_likeness"][others].max() < 0.999
