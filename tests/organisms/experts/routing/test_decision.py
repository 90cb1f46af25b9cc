import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.experts.routing.decision import RoutingInfo
from tests.organisms.experts.small_routers import drawn, generator, small_router


def routing(tokens=9, n_experts=5, k=3, seed=0, limit=None):
    """Draw what a router could have decided."""
    source = generator(seed)
    experts = torch.stack([torch.randperm(n_experts, generator=source)[:k] for _ in range(tokens)])
    mask = torch.rand(tokens, generator=source) < 0.8
    chosen = (torch.rand(tokens, k, generator=source) < 0.8) & mask[:, None]
    kept = chosen & (torch.rand(tokens, k, generator=source) < 0.7)
    gates = torch.rand(tokens, n_experts, generator=source)
    zero = torch.zeros(())
    return RoutingInfo(
        experts=experts,
        weights=torch.rand(tokens, k, generator=source) * kept,
        chosen=chosen,
        kept=kept,
        mask=mask,
        gates=gates,
        logits=gates.log(),
        limit=limit,
        **dict.fromkeys(("aux_lb", "aux_z", "aux_entropy", "aux_margin"), zero),
        metrics={},
    )


@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_the_documents_tensors_are_what_loops_over_the_choices_give(tokens, n_experts, k, seed):
    info = routing(tokens, n_experts, min(k, n_experts), seed)
    weights, kept, demand = torch.zeros(tokens, n_experts), [[] for _ in range(n_experts)], [0] * n_experts
    for token in range(tokens):
        for choice, expert in enumerate(info.experts[token].tolist()):
            demand[expert] += int(info.chosen[token, choice])
            if info.kept[token, choice]:
                weights[token, expert] = info.weights[token, choice]
                kept[expert].append(token)
    assert torch.equal(info.combine_weights, weights)
    assert info.loads.tolist() == [len(each) for each in kept]
    assert info.demand.tolist() == demand
    assert info.capacity == max(len(each) for each in kept)
    found = [info.top_idx[info.valid_ce[:, expert], expert].tolist() for expert in range(n_experts)]
    assert found == kept
    assert [[token in each for each in kept] for token in range(tokens)] == info.kept_mask.tolist()
    nowhere = [all(token not in each for each in kept) for token in range(tokens)]
    assert info.dropped_tokens.tolist() == [bool(m) and n for m, n in zip(info.mask, nowhere, strict=True)]


def test_a_limit_is_the_number_of_places_whoever_takes_them():
    info = routing(limit=20)
    assert info.capacity == 20
    assert info.top_idx.shape == info.valid_ce.shape == (20, 5)
    assert not info.top_idx[~info.valid_ce].any()


def test_weights_carry_gradients_to_the_documents_weights():
    info = small_router()(drawn(7, 12).requires_grad_())
    upstream = drawn(7, 8, seed=3)
    (found,) = torch.autograd.grad(info.combine_weights, info.weights, upstream)
    torch.testing.assert_close(found, upstream.gather(1, info.experts))


def test_shapes_that_do_not_fit_are_refused():
    info = routing()
    with pytest.raises(
        ValueError, match=r"weights of a routing of 9 tokens must be \(9, 3\), but is \(9, 2\)"
    ):
        dataclasses.replace(info, weights=info.weights[:, :2])
