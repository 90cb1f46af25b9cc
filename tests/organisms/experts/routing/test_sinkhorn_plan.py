import numpy as np
import pytest
import torch

from organisms.experts.routing.sinkhorn_plan import log_plan
from tests.organisms.experts.small_routers import drawn

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
