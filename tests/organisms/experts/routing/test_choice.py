import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.experts.routing.choice import Choice, best, round_robin, without_best
from tests.organisms.experts.small_routers import drawn, generator


@given(st.integers(0, 9), st.integers(1, 7), st.data())
def test_the_best_are_the_first_of_a_stable_sort(tokens, n_experts, data):
    k = data.draw(st.integers(1, n_experts))
    seed = data.draw(st.integers(0, 99))
    preferences = torch.randint(0, 3, (tokens, n_experts), generator=generator(seed)).float()
    found = best(preferences, k)
    for row, experts in zip(preferences.tolist(), found.experts.tolist(), strict=True):
        assert experts == sorted(range(n_experts), key=lambda expert: -row[expert])[:k]
    assert found.chosen.all()


@given(st.lists(st.lists(st.sampled_from([-math.inf, -1.0, math.inf]), min_size=5, max_size=5), max_size=6))
def test_where_too_few_are_left_those_at_minus_infinity_follow_in_their_order(rows):
    preferences = torch.tensor(rows).view(-1, 5)
    for k in range(1, 6):
        for row, experts in zip(rows, best(preferences, k).experts.tolist(), strict=True):
            assert experts == sorted(range(5), key=lambda expert: -row[expert])[:k]


def test_whatever_is_preferred_the_choices_of_a_token_differ_and_it_is_left_as_it_is():
    preferences = torch.tensor([[math.nan] * 4, [math.inf, math.nan, -math.inf, 0.0]])
    before = preferences.clone()
    assert [sorted(row) for row in best(preferences, 4).experts.tolist()] == [[0, 1, 2, 3]] * 2
    torch.testing.assert_close(preferences, before, equal_nan=True)


def test_a_choice_of_other_shapes_or_dtypes_is_refused():
    experts, chosen = torch.zeros(3, 2, dtype=torch.int64), torch.ones(3, 2, dtype=torch.bool)
    Choice(experts, chosen)
    for wrong in (
        (experts.int(), chosen),
        (experts, chosen.float()),
        (experts, chosen[:, :1]),
        (experts[0], chosen[0]),
    ):
        with pytest.raises(
            ValueError, match=r"must be torch.int64 and torch.bool, both \[N, K\], but are torch.int"
        ):
            Choice(*wrong)


@pytest.mark.parametrize("k", [0, 3])
def test_more_than_there_are_cannot_be_chosen_nor_none(k):
    with pytest.raises(ValueError, match=f"k must be from 1 to the number of experts, 2, but is {k}"):
        best(drawn(4, 2), k)


@given(st.lists(st.booleans(), max_size=20), st.integers(1, 7), st.data())
def test_dealt_experts_are_distinct_and_their_loads_differ_by_one_at_most(mask, n_experts, data):
    k = data.draw(st.integers(1, n_experts))
    choice = round_robin(torch.tensor(mask, dtype=torch.bool), k, n_experts)
    rows = choice.experts.tolist()
    assert all(len(set(row)) == k for row in rows)
    counted = [expert for row, real in zip(rows, mask, strict=True) if real for expert in row]
    loads = [counted.count(expert) for expert in range(n_experts)]
    assert max(loads) - min(loads) <= 1


def test_the_best_is_taken_from_the_wanted_share_of_tokens_and_nothing_else_is():
    choice = Choice(torch.tensor([[2, 0]]).expand(4000, 2), torch.ones(4000, 2, dtype=torch.bool))
    found = without_best(choice, 0.25, generator(3))
    assert found.chosen[:, 1].all()
    assert (~found.chosen[:, 0]).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(without_best(choice, 0.25, generator(3)).chosen, found.chosen)
