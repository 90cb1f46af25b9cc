import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.organisms.experts.small_routers import WIDTH, drawn, small_router


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 99))
def test_a_loop_over_experts_takes_the_same_tokens(tokens, k, seed):
    info = small_router("expert_choice", seed, k=k)(drawn(tokens, WIDTH, seed=seed))
    gates = info.logits.detach().softmax(1)
    places = max(1, tokens * k // 8)
    taken = torch.zeros(tokens, 8, dtype=torch.bool)
    for expert in range(8):
        taken[gates[:, expert].topk(places).indices, expert] = True
    assert torch.equal(info.kept_mask, taken)
    torch.testing.assert_close(info.combine_weights, gates * taken)
    assert info.experts.shape[1] == taken.sum(1).max()
    assert info.loads.tolist() == [places] * 8
    assert all(len(set(row)) == len(row) for row in info.experts.tolist())


def test_of_equal_scores_the_first_tokens_are_taken_and_the_others_are_dropped():
    info = small_router("expert_choice")(torch.ones(12, WIDTH))
    assert info.dropped_tokens.tolist() == [False] * 3 + [True] * 9


def test_weights_are_divided_by_their_sum_if_asked():
    info = small_router("expert_choice", norm_topk=True)(drawn(40, WIDTH))
    sums = info.combine_weights.sum(1)
    torch.testing.assert_close(sums, info.kept.any(1).float())


@pytest.mark.parametrize("training", [False, True])
def test_its_balance_loss_is_one_whatever_the_scores(training):
    info = small_router("expert_choice").train(training)(drawn(40, WIDTH))
    assert info.aux_lb.item() == pytest.approx(1)
