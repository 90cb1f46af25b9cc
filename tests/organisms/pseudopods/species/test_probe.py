import math

import numpy as np
import pytest
import torch

from tests.fixtures import naive_pseudopods as naive
from tests.fixtures.naive_interface import parts
from tests.organisms.cases import CASES, Case, probed, rewrite

SPAN, SPARSITY, FLOW, LOCALITY, INTENSITY = range(5)
HEADS = Case("pseudopods", shape="one layer")


@pytest.mark.parametrize("case", [case for case in CASES if case.family == "pseudopods"], ids=str)
def test_measures_are_those_of_the_definition(case):
    species, organism, inputs, _, probe = probed(case)
    task, heads = organism.task, parts(organism)
    streams = [naive.streams(organism, heads, one) for one in inputs]
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
        flops, moved = species.cost(organism.pool.occupants[slot].genes)
        assert row[INTENSITY] == math.log2(flops / moved)


def test_a_head_of_no_preference_has_the_span_and_locality_of_the_whole_sequence():
    family, organism, inputs, targets, _ = probed(HEADS)
    rewrite(
        organism, 2, {"rank": 1.0, "window": 99.0}, **{"qk.U": np.zeros((9, 1)), "qk.V": np.zeros((1, 9))}
    )
    row = family.probe(organism, inputs, targets).measures[1]
    distances, places = family.task.distances, family.task.positions
    spread = math.sqrt(((places - places.mean(0)) ** 2).sum(-1).mean())
    assert row[SPAN].item() == pytest.approx(distances.mean() / distances.max(), rel=1e-6)
    assert row[LOCALITY].item() == pytest.approx(spread / distances.max(), rel=1e-5)


def test_a_head_that_sees_only_its_own_token_has_no_span_and_no_spread():
    family, organism, inputs, targets, _ = probed(HEADS)
    smallest = family.task.distances[family.task.distances > 0].min()
    rewrite(organism, 2, {"window": smallest})
    row = family.probe(organism, inputs, targets).measures[1]
    assert row[SPAN].item() == 0
    assert row[LOCALITY].item() == pytest.approx(0, abs=1e-3)


def test_a_head_that_writes_nothing_is_worth_nothing_and_stays_finite():
    family, organism, inputs, targets, _ = probed(HEADS)
    width = int(organism.pool.occupants[2].gene("width"))
    rewrite(organism, 2, **{"ov.V": np.zeros((width, 9))})
    probe = family.probe(organism, inputs, targets)
    assert probe.ablations[1].item() == pytest.approx(0, abs=1e-6)
    assert probe.gradients[1].item() == 0
    assert probe.measures.isfinite().all()
    assert probe.measures[1, FLOW].item() == -12
