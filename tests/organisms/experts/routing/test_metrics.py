import math

import pytest
import torch

from organisms.experts.routing.losses import load_balance
from tests.organisms.experts.small_routers import drawn, small_router

WEIGHTS = {"load_balance_weight": 0.5, "z_loss_weight": 0.25, "entropy_weight": 2.0, "margin_weight": 3.0}


def test_numbers_are_counted_from_the_routing():
    mask = torch.arange(40) % 4 != 0
    info = small_router(capacity="order_agnostic", capacity_factor=0.55, margin=0.5, **WEIGHTS)(
        drawn(40, 12), mask
    )
    found = info.metrics
    kept = info.kept[mask]
    assert found["fraction_dropped_tokens"].item() == pytest.approx((~kept.any(1)).float().mean().item())
    assert found["fraction_dropped_choices"].item() == pytest.approx(1 - kept.float().mean().item())
    assert 0 < found["fraction_dropped_tokens"] < found["fraction_dropped_choices"] < 1
    counts = torch.bincount(info.experts[info.kept], minlength=8)
    torch.testing.assert_close(found["expert_utilization"], counts / counts.sum())
    assert found["capacity"] == info.capacity == 4
    entropy = torch.distributions.Categorical(probs=info.gates[mask]).entropy().mean()
    torch.testing.assert_close(found["gate_entropy"], entropy)
    torch.testing.assert_close(info.aux_lb, load_balance(info.gates.log(), info.demand, mask))
    parts = [found[f"aux_{name}"].item() for name in ("load_balance", "z", "entropy", "margin")]
    assert min(parts) > 0
    assert parts == [loss.item() for loss in (info.aux_lb, info.aux_z, info.aux_entropy, info.aux_margin)]
    total = sum(weight * part for weight, part in zip(WEIGHTS.values(), parts, strict=True))
    assert found["aux_total"].item() == pytest.approx(total)


def test_only_the_total_has_a_gradient_and_it_reaches_the_router():
    router = small_router(margin=0.5, **WEIGHTS)
    found = router(drawn(40, 12)).metrics
    assert [name for name, value in found.items() if value.requires_grad] == ["aux_total"]
    found["aux_total"].backward()
    assert router.weight.grad.any(dim=1).all()


def test_without_a_limit_the_capacity_is_the_largest_load():
    info = small_router()(drawn(40, 12))
    assert info.metrics["capacity"] == info.capacity == info.loads.max()


def test_a_limit_is_the_capacity_whoever_reaches_it():
    info = small_router(capacity="order_agnostic", capacity_factor=3.5)(drawn(40, 12))
    assert info.metrics["capacity"] == info.capacity == 35 > info.loads.max()


def test_even_gates_have_the_largest_entropy():
    router = small_router()
    torch.nn.init.zeros_(router.weight)
    assert router(drawn(40, 12)).metrics["gate_entropy"].item() == pytest.approx(math.log(8))
