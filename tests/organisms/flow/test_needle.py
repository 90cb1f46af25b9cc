"""What the memory is good for: a fact far behind every window is answered, and from the memory alone."""

import pytest
import torch
from torch.nn import functional as F

from organisms.flow import FlowMemoryNetwork, FlowNetwork
from tests.organisms.flow.needles import CHANCE, FILLERS, KEYS, VOCABULARY, answers, needles

LENGTH, WINDOW = 40, 4


@pytest.fixture(scope="module")
def trained():
    """A layer that sees 4 tokens, after 200 steps on facts 10 to 38 tokens back."""
    given = {
        "num_heads": 2,
        "num_patterns": 4,
        "base_sparsity": 0.5,
        "window": WINDOW,
        "self_attention": False,
    }
    model = FlowNetwork(VOCABULARY, 24, 1, 160, memory_size=24, num_memory_heads=2, block_size=8, **given)
    optimizer, stream = torch.optim.Adam(model.parameters(), 1e-2), torch.Generator().manual_seed(0)
    for _ in range(200):
        ids, values = needles(16, LENGTH, (10, LENGTH - 2), stream)
        loss = F.cross_entropy(model(ids)[0][:, -1], FILLERS + KEYS + values)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@torch.no_grad()
def accuracy(model, length, distance, **options):
    ids, values = needles(256, length, (distance, distance), torch.Generator().manual_seed(1))
    return float((answers(model(ids, **options)[0]) == values).float().mean())


@pytest.mark.parametrize(("length", "distance"), [(LENGTH, 12), (LENGTH, 38), (160, 158)])
def test_a_fact_far_back_is_answered_at_any_distance(trained, length, distance):
    """At the last one four times as far as in training."""
    assert accuracy(trained, length, distance) > 2.5 * CHANCE


def test_it_is_not_where_nothing_is_written(trained):
    assert accuracy(trained, LENGTH, 38, update_memory=False) < 2 * CHANCE


def test_what_came_once_stays_while_the_rest_repeats():
    """As a slot of its own, to the last bit: what repeats goes where it went before."""
    kinds = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    common = kinds[torch.randint(5, (1, 400), generator=torch.Generator().manual_seed(1))]
    memory = FlowMemoryNetwork(32, 24, 4, block_size=8)
    _, early = memory(torch.cat([common[:, :50], kinds[None, 5:], common[:, :5]], 1))
    _, late = memory(torch.cat([common[:, :50], kinds[None, 5:], common], 1))
    for state in (early["memory_state"][0], late["memory_state"][0]):
        assert F.cosine_similarity(state, kinds[5], dim=-1).max() > 0.8
    slot = F.cosine_similarity(early["memory_state"][0], kinds[5], dim=-1).argmax()
    assert torch.equal(early["memory_state"][0, slot], late["memory_state"][0, slot])
