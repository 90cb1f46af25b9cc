import pytest
import torch

from organisms.experts.routing.sinkhorn_plan import log_plan
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
