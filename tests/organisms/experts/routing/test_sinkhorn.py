import numpy as np
import pytest
import torch

from organisms.experts.routing.sinkhorn import log_plan
from tests.organisms.experts.small_routers import WIDTH, drawn, small_router

X = drawn(200, WIDTH) + 1.5  # a common part, so that top-k prefers the same experts for all


@pytest.mark.parametrize("k", [1, 2, 3])
def test_in_training_the_plan_chooses_and_the_scores_weigh(k):
    info = small_router("sinkhorn", k=k)(X)
    logits = info.logits.detach()
    plan = log_plan(logits, torch.ones_like(logits, dtype=torch.bool), 0.7, 5)
    assert torch.equal(info.experts, plan.topk(k).indices)
    scores = logits.softmax(1).gather(1, info.experts)
    torch.testing.assert_close(info.weights, scores / scores.sum(1, keepdim=True) if k > 1 else scores)


def test_loads_are_far_more_even_than_those_of_top_k():
    balanced, greedy = (small_router(name, sinkhorn_tau=0.2)(X).loads for name in ("sinkhorn", "topk"))
    assert greedy.max() > 2 * greedy.double().mean()
    assert balanced.max() < 1.3 * balanced.double().mean()
    assert balanced.min() > 0.7 * balanced.double().mean()


def test_only_candidates_are_chosen():
    info = small_router("sinkhorn", sinkhorn_topk=3)(X)
    candidates = info.logits.topk(3).indices
    assert (info.experts[:, :, None] == candidates[:, None]).any(-1).all()
    assert not torch.equal(info.experts, small_router("sinkhorn", sinkhorn_topk=None)(X).experts)
    every = [small_router("sinkhorn", n_experts=4, sinkhorn_topk=topk)(X) for topk in (4, 8, None)]
    assert all(torch.equal(each.experts, every[0].experts) for each in every)
    as_few_as_chosen = small_router("sinkhorn", sinkhorn_topk=2)(X)
    assert torch.equal(as_few_as_chosen.kept_mask, small_router("topk")(X).kept_mask)


def test_in_evaluation_it_is_top_k():
    found, expected = (small_router(name).eval()(X) for name in ("sinkhorn", "topk"))
    assert torch.equal(found.combine_weights, expected.combine_weights)


@pytest.mark.parametrize("topk", [2, 8])
def test_logits_of_ten_thousand_give_each_token_k_different_experts_and_finite_gradients(topk):
    router = small_router("sinkhorn", sinkhorn_topk=topk)
    router.weight.data *= 1e4
    x = X.clone().requires_grad_()
    info = router(x)
    assert info.logits.abs().max() > 1e4
    assert all(len(set(row)) == 2 for row in info.experts.tolist())
    torch.testing.assert_close(info.weights.sum(1), torch.ones(200))
    info.weights.square().sum().backward()
    assert torch.isfinite(x.grad).all()


def by_definition(logits, tau, iterations):
    """The plan in plain numbers: rows are scaled to 1, then columns to N / E, so often."""
    plan = (logits.double() / tau).exp()
    for _ in range(iterations):
        plan = plan / plan.sum(1, keepdim=True)
        plan = plan / plan.sum(0) * (len(plan) / plan.shape[1])
    return plan


@pytest.mark.parametrize(
    ("options", "other"),
    [
        ({"sinkhorn_tau": 0.2, "sinkhorn_n_iter": 1}, {"sinkhorn_tau": 0.2, "sinkhorn_n_iter": 6}),
        ({"sinkhorn_tau": 0.2, "sinkhorn_n_iter": 6}, {"sinkhorn_tau": 2.0, "sinkhorn_n_iter": 6}),
    ],
)
def test_iterations_and_temperature_make_the_plan_that_chooses(options, other):
    infos = [small_router("sinkhorn", **given)(X) for given in (options, other)]
    assert not torch.equal(infos[0].experts, infos[1].experts)
    for info, given in zip(infos, (options, other), strict=True):
        plan = by_definition(info.logits.detach(), given["sinkhorn_tau"], given["sinkhorn_n_iter"])
        assert torch.equal(info.experts, plan.topk(2).indices)


EVERY = torch.ones(40, 6, dtype=torch.bool)


def plain(logits, tau, iterations, candidates=EVERY):
    """The document's iterations, in float64 and without logarithms."""
    kernel = np.exp(logits.double().numpy() / tau) * candidates.numpy()
    tokens, n_experts = kernel.shape
    v = np.ones(n_experts)
    for _ in range(iterations):
        u = 1 / (kernel @ v)
        v = tokens / n_experts / (kernel.T @ u)
    return u[:, None] * kernel * v


@pytest.mark.parametrize("iterations", [1, 5, 50])
@pytest.mark.parametrize("tau", [0.3, 1.0])
def test_the_plan_is_that_of_plain_iterations(iterations, tau):
    logits = drawn(40, 6) * 2
    found = log_plan(logits, EVERY, tau, iterations).exp()
    np.testing.assert_allclose(found.numpy(), plain(logits, tau, iterations), rtol=2e-5)


def test_in_the_end_both_sums_are_as_wanted():
    plan = log_plan(drawn(40, 6, dtype=torch.float64), EVERY, 0.7, 300).exp()
    torch.testing.assert_close(plan.sum(1), torch.ones(40, dtype=torch.float64))
    torch.testing.assert_close(plan.sum(0), torch.full((6,), 40 / 6, dtype=torch.float64))


def test_of_candidates_alone_the_plan_is_that_of_plain_iterations():
    logits = drawn(40, 6) * 2
    candidates = drawn(40, 6, seed=1) > -0.5
    candidates[:, 0] = True
    found = log_plan(logits, candidates, 0.7, 5).exp()
    np.testing.assert_allclose(found.numpy(), plain(logits, 0.7, 5, candidates), rtol=2e-5)


def test_rows_and_columns_without_candidates_are_as_if_they_were_not_there():
    logits = drawn(40, 6)
    candidates = EVERY.clone()
    candidates[30:] = False
    candidates[:, 4] = False
    found = log_plan(logits, candidates, 0.7, 5).exp()
    assert not found[30:].any()
    assert not found[:, 4].any()
    torch.testing.assert_close(found.sum(0), torch.tensor([5.0, 5.0, 5.0, 5.0, 0.0, 5.0]))


@pytest.mark.parametrize("tau", [0.01, 0.7])
def test_logits_of_ten_thousand_leave_it_finite_and_right(tau):
    logits = drawn(40, 6) * 1e4
    found = log_plan(logits, EVERY, tau, 5)
    assert torch.isfinite(found).all()
    expected = log_plan(logits.double(), EVERY, tau, 5)
    assert (found - expected).abs().max() <= 1e-6 * logits.abs().max() / tau


def test_without_tokens_the_plan_is_empty():
    assert log_plan(torch.zeros(0, 3), torch.ones(0, 3, dtype=torch.bool), 0.7, 5).shape == (0, 3)
