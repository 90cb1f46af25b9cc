"""A mixture of linear experts learns six clusters of unequal size, each with a linear map of its own."""

import pytest
import torch

from tests.organisms.experts.small_routers import WIDTH, drawn, generator, small_router

SHARES = torch.tensor([0.4, 0.2, 0.15, 0.1, 0.1, 0.05])
WAYS = {
    "nothing": {"load_balance_weight": 0.0},
    "aux loss": {"load_balance_weight": 1.0},
    "bias": {"name": "bias", "load_balance_weight": 0.0, "bias_update_speed": 5e-3},
}


def batch(size, source):
    which = torch.multinomial(SHARES, size, replacement=True, generator=source)
    tokens = 2 * drawn(6, WIDTH, seed=100)[which] + 0.7 * torch.randn(size, WIDTH, generator=source)
    return tokens, torch.einsum("nd,ndh->nh", tokens, drawn(6, WIDTH, WIDTH, seed=101)[which] / WIDTH**0.5)


def trained_loads(n_experts, way, steps=300):
    """The share of the mean load that each expert has after training, in evaluation."""
    source = generator(1)
    router = small_router(**WAYS[way], n_experts=n_experts, init_scale=0.1)
    matrices = torch.nn.Parameter(0.02 * torch.randn(n_experts, WIDTH, WIDTH, generator=source))
    optimizer = torch.optim.Adam([*router.parameters(), matrices], lr=5e-3)
    for _ in range(steps):
        tokens, targets = batch(256, source)
        info = router(tokens)
        outputs = torch.einsum("ne,nd,edh->nh", info.combine_weights, tokens, matrices)
        optimizer.zero_grad()
        ((outputs - targets).square().mean() + info.metrics["aux_total"]).backward()
        optimizer.step()
        if way == "bias":
            router.update(info.demand)
    loads = router.eval()(batch(2048, source)[0]).loads
    return loads / loads.double().mean()


@pytest.mark.parametrize("n_experts", [8, 16])
@pytest.mark.parametrize("way", ["aux loss", "bias"])
def test_no_expert_is_left_under_a_quarter_of_the_mean_load(way, n_experts):
    loads = trained_loads(n_experts, way)
    assert loads.min() > 0.25, loads


def test_without_balance_some_are():
    assert trained_loads(16, "nothing").min() < 0.25
