import pytest
import torch

from organisms.layers.norms import rms_norm
from organisms.nn import stem
from organisms.residual.shares import chosen, shares
from tests.fixtures.small_worlds import examples_of
from tests.organisms.experts.labelled import counted, labelled, routed


@pytest.mark.parametrize("slots", [(0, 2, 3, 4, 5, 6, 7), (1, 5, 6), (4, 7)])
@pytest.mark.parametrize("k", [1, 2])
def test_tokens_are_counted_one_by_one(slots, k):
    family, organism = routed(labelled(), slots, k)
    probe = family.probe(organism, *examples_of(family.task))
    assert probe.routed_tokens.dtype == torch.int64
    assert probe.routed_tokens.tolist() == counted(organism, slots)


def test_a_choice_counts_whose_weight_is_rounded_to_nothing():
    family, organism = routed(labelled(), range(8))
    organism.pool.stacks["route"] *= 1000
    inputs, targets = examples_of(family.task)
    logits = organism.logits(0, rms_norm(stem(family.task, organism.interface, inputs))).flatten(0, 1)
    assert (shares(logits, 2)[chosen(logits, 2)] == 0).any()
    assert (shares(logits, 2)[~chosen(logits, 2)] == 0).all()
    probe = family.probe(organism, inputs, targets)
    assert probe.routed_tokens.view(2, 4, -1).sum(1).tolist() == [[2 * family.task.length] * len(inputs)] * 2
