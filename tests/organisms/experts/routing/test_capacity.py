import re

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from organisms.experts.routing.capacity import expert_capacity, first_come, growing_capacity, highest
from tests.organisms.experts.small_routers import generator


def demands(tokens, n_experts, seed):
    """Draw who wants whom, and scores with ties."""
    source = generator(seed)
    wanted = torch.rand(tokens, n_experts, generator=source) < 0.6
    return wanted, torch.randint(0, 3, (tokens, n_experts), generator=source).float()


CASES = (st.integers(0, 15), st.integers(1, 5), st.integers(0, 99))


def test_places_are_the_documents_floor():
    assert expert_capacity(100, 2, 8, 1.25) == 31
    assert expert_capacity(128, 1, 16, 1.0) == 8
    assert expert_capacity(3, 2, 2, 10.0) == 3
    assert expert_capacity(0, 2, 8, 1.25) == 0


def test_a_capacity_under_one_token_is_refused_as_it_was_typed():
    with pytest.raises(
        ValueError, match=r"a capacity of 0 for 3 tokens .* at least 5.34, or capacity to dropless"
    ):
        expert_capacity(3, 1, 16, 1.25)
    with pytest.raises(
        ValueError, match=r"capacity_factor 0\.9999999 gives an expert .* set it to at least 1\.0, or"
    ):
        expert_capacity(8, 1, 8, 0.9999999)


@given(st.integers(1, 3000), st.integers(1, 4), st.integers(1, 10**7))
@example(25, 1, 29)  # 1.16 x 25 is under 29
def test_what_is_advised_is_enough_when_it_is_typed_and_little_more_than_that(tokens, k, n_experts):
    with pytest.raises(ValueError, match="gives an expert a capacity of 0") as error:
        expert_capacity(tokens, k, n_experts, 1e-12)
    (advised,) = re.findall(r"at least (\S+), or", str(error.value))
    assert expert_capacity(tokens, k, n_experts, float(advised)) >= 1
    assert float(advised) < n_experts / (tokens * k) + 0.021


def test_a_factor_may_be_as_large_as_it_can():
    assert expert_capacity(3, 2, 4, 1e308) == 3
    mask = torch.tensor([True, False, True])
    assert first_come(torch.ones(3, 2, dtype=torch.bool), growing_capacity(mask, 2, 2, 1e308)).all()


@given(*CASES, st.integers(0, 6))
def test_the_highest_scores_have_a_place_and_of_equal_ones_the_first(tokens, n_experts, seed, capacity):
    wanted, scores = demands(tokens, n_experts, seed)
    kept = highest(scores, wanted, capacity)
    for expert in range(n_experts):
        asking = [token for token in range(tokens) if wanted[token, expert]]
        ranked = sorted(asking, key=lambda token: -scores[token, expert].item())
        assert sorted(ranked[:capacity]) == kept[:, expert].nonzero().flatten().tolist()


@given(*CASES, st.floats(0.1, 3))
def test_who_comes_first_has_a_place_while_there_is_one(tokens, n_experts, seed, factor):
    wanted, _ = demands(tokens, n_experts, seed)
    mask = torch.rand(tokens, generator=generator(seed + 1)) < 0.8
    wanted &= mask[:, None]
    kept = first_come(wanted, growing_capacity(mask, 1, n_experts, factor))
    loads, come = [0] * n_experts, 0
    for token in range(tokens):
        come += int(mask[token])
        for expert in range(n_experts):
            has_place = bool(wanted[token, expert]) and loads[expert] < max(1, int(factor * come / n_experts))
            assert bool(kept[token, expert]) == has_place
            loads[expert] += has_place


@given(*CASES, st.floats(0.1, 3), st.integers(0, 15))
def test_who_comes_later_changes_nothing_for_those_before(tokens, n_experts, seed, factor, prefix):
    wanted, _ = demands(tokens, n_experts, seed)
    mask = torch.ones(tokens, dtype=torch.bool)
    whole = first_come(wanted, growing_capacity(mask, 1, n_experts, factor))
    part = first_come(wanted[:prefix], growing_capacity(mask[:prefix], 1, n_experts, factor))
    assert torch.equal(part, whole[:prefix])
