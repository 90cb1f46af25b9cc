import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from organisms.experts.routing.scores import NOISE, log_scores, weights
from tests.organisms.experts.small_routers import drawn, generator

EVERY = torch.ones(20, 3, dtype=torch.bool)


def test_scores_are_softmax_and_sigmoid():
    logits = drawn(20, 6) * 3
    torch.testing.assert_close(log_scores(logits, "softmax").exp(), logits.softmax(1))
    torch.testing.assert_close(log_scores(logits, "sigmoid").exp(), logits.sigmoid())


def test_normalised_weights_are_mixtrals_softmax_over_the_best_logits():
    logits = drawn(20, 6) * 3
    best_logits, experts = logits.topk(3)
    logs = log_scores(logits, "softmax").gather(1, experts)
    found = weights(logs, EVERY, EVERY, normalised=True, renormalised=True)
    torch.testing.assert_close(found, best_logits.softmax(1))


def test_a_single_weight_is_switchs_probability_with_its_gradient():
    logits = drawn(20, 6, dtype=torch.float64).requires_grad_()
    expert = logits.argmax(1, keepdim=True)
    one, upstream = EVERY[:, :1], drawn(20, 1, seed=2, dtype=torch.float64)
    expected = logits.softmax(1).gather(1, expert)
    found = weights(
        log_scores(logits, "softmax").gather(1, expert), one, one, normalised=False, renormalised=True
    )
    torch.testing.assert_close(found, expected)
    wanted, got = (torch.autograd.grad(each, logits, upstream)[0] for each in (expected, found))
    torch.testing.assert_close(got, wanted)


def test_sigmoid_weights_are_deepseeks():
    logits = drawn(20, 6) * 3
    scores, experts = logits.sigmoid().topk(3)
    logs = log_scores(logits, "sigmoid").gather(1, experts)
    found = weights(logs, EVERY, EVERY, normalised=True, renormalised=True)
    torch.testing.assert_close(found, scores / scores.sum(1, keepdim=True))


@given(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 99))
def test_weights_are_their_formula_and_sum_to_what_they_should(sigmoid, normalised, renormalised, seed):
    source = generator(seed)
    chosen = torch.rand(20, 3, generator=source) < 0.8
    kept = chosen & (torch.rand(20, 3, generator=source) < 0.6)
    logs = log_scores(drawn(20, 3, seed=seed) * 3, "sigmoid" if sigmoid else "softmax")
    found = weights(logs, chosen, kept, normalised=normalised, renormalised=renormalised)
    for row in range(20):
        scores = logs[row].double().exp()
        asked, held = (float((scores * members[row]).sum()) for members in (chosen, kept))
        shared = held if renormalised else asked
        total = 1.0 if normalised else asked
        expected = scores * kept[row] * total / shared if shared else torch.zeros(3)
        torch.testing.assert_close(found[row].double(), expected.double(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_scores_that_underflow_still_share_out_the_weight(kind):
    logits = torch.tensor([[0.0, -9000.0, -9001.0], [1e4, -1e4, -1e4]], requires_grad=True)
    kept = torch.tensor([[False, True, True], [False, True, True]])
    chosen = torch.ones_like(kept)
    found = weights(log_scores(logits, kind), chosen, kept, normalised=True, renormalised=True)
    expected = torch.tensor([1.0, 0.0]).sigmoid()
    torch.testing.assert_close(found[:, 1], expected)
    assert not found[:, 0].any()
    found.sum().backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("renormalised", [False, True])
def test_gradients_are_right_and_a_token_without_experts_has_none(normalised, renormalised):
    logits = drawn(4, 3, dtype=torch.float64).requires_grad_()
    chosen = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 1], [0, 0, 0]], dtype=torch.bool)
    kept = chosen & torch.tensor([[1, 1, 1], [0, 1, 1], [0, 0, 0], [1, 1, 1]], dtype=torch.bool)

    def weighed(logits):
        logs = log_scores(logits, "softmax")
        return weights(logs, chosen, kept, normalised=normalised, renormalised=renormalised)

    assert torch.autograd.gradcheck(weighed, logits)
    (gradient,) = torch.autograd.grad(weighed(logits).square().sum(), logits)
    assert not gradient[2:].any()


@pytest.mark.parametrize(("name", "law"), [("gaussian", stats.norm), ("gumbel", stats.gumbel_r)])
def test_noise_follows_its_law_and_its_generator(name, law):
    found = NOISE[name](torch.Size((4000,)), generator(5))
    assert stats.kstest(found.numpy(), law.cdf).pvalue > 0.01
    assert torch.equal(found, NOISE[name](torch.Size((4000,)), generator(5)))


def test_the_largest_of_logits_with_gumbel_noise_is_a_draw_of_the_softmax():
    logits = torch.tensor([0.0, 1.0, 2.0]).log_softmax(0)
    noisy = logits + NOISE["gumbel"](torch.Size((20_000, 3)), generator(6))
    counts = torch.bincount(noisy.argmax(1), minlength=3)
    assert stats.chisquare(counts.numpy(), 20_000 * logits.double().softmax(0).numpy()).pvalue > 0.01
    assert math.isfinite(noisy.abs().max())
