import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.experts.choice import Choice, best, dealt, without_best
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


def test_more_than_there_are_cannot_be_chosen():
    with pytest.raises(ValueError, match="k must be at most the number of experts, 2, but is 3"):
        best(drawn(4, 2), 3)


@given(st.lists(st.booleans(), max_size=20), st.integers(1, 7), st.data())
def test_dealt_experts_are_distinct_and_their_loads_differ_by_one_at_most(mask, n_experts, data):
    k = data.draw(st.integers(1, n_experts))
    choice = dealt(torch.tensor(mask, dtype=torch.bool), k, n_experts)
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
