import math

import pytest
import torch

from organisms.experts.routing.losses import entropy_loss, load_balance, margin_loss, z_loss
from organisms.experts.routing.scores import log_scores
from tests.organisms.experts.small_routers import drawn

KINDS = ("softmax", "sigmoid")
MASK = torch.tensor([1, 1, 0, 1, 1, 1, 0, 1], dtype=torch.bool)
ALL = torch.ones(8, dtype=torch.bool)


def counted(logits, mask, k):
    return torch.bincount(logits.topk(k).indices[mask].flatten(), minlength=logits.shape[1])


def losses(logits, mask, kind="softmax", k=2):
    logs = log_scores(logits, kind)
    return {
        "balance": load_balance(logs, counted(logits, mask, k), mask),
        "z": z_loss(logits, mask),
        "entropy": entropy_loss(logs, mask),
        "margin": margin_loss(logs.exp(), mask, 0.4),
    }


def test_the_balance_of_top_1_is_switchs_loss():
    logits = drawn(8, 5) * 2
    probabilities = logits.softmax(1)
    expected = 0.0
    for expert in range(5):
        f = sum(int(row.argmax()) == expert for row in probabilities) / 8
        p = sum(row[expert].item() for row in probabilities) / 8
        expected += 5 * f * p
    assert load_balance(logits.log_softmax(1), counted(logits, ALL, 1), ALL).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_of_more_choices_each_counts_for_less_and_scores_are_made_probabilities(kind):
    logits = drawn(8, 5) * 2
    scores = logits.softmax(1) if kind == "softmax" else logits.sigmoid()
    probabilities = scores / scores.sum(1, keepdim=True)
    share = counted(logits, ALL, 3) / (8 * 3)
    expected = 5 * (share * probabilities.mean(0)).sum()
    torch.testing.assert_close(losses(logits, ALL, kind, k=3)["balance"], expected)


@pytest.mark.parametrize("k", [1, 2])
def test_the_balance_is_1_where_all_is_even_and_e_where_one_expert_gets_all(k):
    even = torch.eye(4).repeat(2, 1) + torch.eye(4).roll(1, 1).repeat(2, 1) * 0.99
    assert losses(even, ALL, k=k)["balance"].item() == pytest.approx(1, abs=1e-6)
    one = torch.tensor([[100.0, 0.0, 0.0, 0.0]]).expand(8, 4)
    assert losses(one, ALL, k=1)["balance"].item() == pytest.approx(4, abs=1e-6)


def test_the_z_loss_is_st_moes():
    logits = drawn(8, 5) * 2
    expected = sum(math.log(sum(math.exp(z) for z in row)) ** 2 for row in logits.tolist()) / 8
    assert z_loss(logits, ALL).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_entropy_loss_is_what_torchs_entropy_lacks_to_that_of_even_scores(kind):
    logits = drawn(8, 5) * 2
    scores = logits.softmax(1) if kind == "softmax" else logits.sigmoid()
    entropy = torch.distributions.Categorical(probs=scores).entropy().mean()
    torch.testing.assert_close(losses(logits, ALL, kind)["entropy"], math.log(5) - entropy)
    assert losses(torch.zeros(8, 5), ALL, kind)["entropy"].item() == pytest.approx(0, abs=1e-6)


def test_the_margin_loss_is_a_hinge_on_the_lead_of_the_best():
    scores = torch.tensor([[0.6, 0.1, 0.3], [0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
    mask = torch.ones(3, dtype=torch.bool)
    assert margin_loss(scores, mask, 0.4).item() == pytest.approx((0.1 + 0.2 + 0.0) / 3)
    assert margin_loss(torch.ones(3, 1), mask, 0.4) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_padding_counts_no_more_than_if_it_were_not_there(kind):
    logits = drawn(8, 5) * 2
    padded, without = losses(logits, MASK, kind), losses(logits[MASK], ALL[:6], kind)
    for name, loss in padded.items():
        torch.testing.assert_close(loss, without[name], msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_right_and_padding_has_none(kind):
    logits = (drawn(8, 5, dtype=torch.float64) * 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda logits: tuple(losses(logits, MASK, kind).values()), logits)
    (gradient,) = torch.autograd.grad(sum(losses(logits, MASK, kind).values()), logits)
    assert not gradient[~MASK].any()
    assert gradient[MASK].any(dim=1).all()


@pytest.mark.parametrize("tokens", [0, 8])
def test_without_tokens_losses_are_zero(tokens):
    nobody = torch.zeros(tokens, dtype=torch.bool)
    assert all(loss == 0 for loss in losses(drawn(tokens, 5), nobody).values())
