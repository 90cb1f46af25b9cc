"""Passes in which towers are computed one by one, whatever they are, or in which nothing is tried out."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from organisms.towers import ExecutionStrategy
from organisms.towers.wide import measure
from tests.organisms.towers.wide.shapes import BATCHED, collective, inputs, passed

TOGETHER = [*BATCHED, ExecutionStrategy.AUTO]


@pytest.fixture(params=[True, False])
def deterministic(request):
    """Whether AUTO goes by a rule, as in the other tests, or by its clock."""
    torch.use_deterministic_algorithms(request.param)
    yield
    torch.use_deterministic_algorithms(True)


def group(router):
    return router.get_wide_stats()["groups"][0]


def summed(router):
    return lambda x: sum(each.sum() for each in router.wide_forward(x).values())


@pytest.mark.parametrize("strategy", TOGETHER)
def test_transforms_see_towers_one_by_one_and_leave_no_trace(strategy, deterministic):
    router, x = collective(["plain"] * 2, 4, strategy=strategy), inputs((3, 4))
    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(summed(router)(leaf), leaf)
    passed(router, x, passes=3)
    used = group(router)["used"]
    torch.testing.assert_close(torch.func.grad(summed(router))(x), wanted)
    torch.testing.assert_close(torch.func.jacrev(summed(router))(x), wanted)
    rows = torch.func.vmap(lambda row: router.wide_forward(row)["tower_0"])(x)
    torch.testing.assert_close(rows, router["tower_0"](x))
    assert group(router)["used"] == "sequential"
    assert "torch.func" in group(router)["reasons"]["vmap"]
    router.wide_forward(x)
    assert (group(router)["used"], group(router)["reasons"]) == (used, {})


@pytest.mark.parametrize("strategy", TOGETHER)
def test_hooks_for_all_modules_see_each_tower(strategy, deterministic):
    router, x, seen = collective(["plain"] * 2, 4, strategy=strategy), inputs((3, 4)), []
    passed(router, x, passes=3)
    used = group(router)["used"]
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        router.wide_forward(x)
    finally:
        handle.remove()
    assert [seen.count(tower) for tower in router.towers.values()] == [1, 1]
    assert "hooks for all modules" in group(router)["reasons"]["vmap"]
    router.wide_forward(x)
    assert (group(router)["used"], group(router)["reasons"]) == (used, {})


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("strategy", TOGETHER)
def test_a_checkpoint_saves_the_same_when_it_does_a_pass_again(
    strategy, ensemble, deterministic, monkeypatch
):
    router, x = collective(["plain"] * 2, 4, strategy=strategy), inputs((3, 4))
    monkeypatch.setattr(measure, "ROUNDS", 1)
    if ensemble:
        router.build_sub_ensembles()

    def gradients(pass_by):
        leaf = x.clone().requires_grad_()
        forward = router.wide_forward_ensemble if ensemble else router.wide_forward
        loss = sum(each.square().sum() for each in pass_by(forward, leaf).values())
        return torch.autograd.grad(loss, [leaf, *router["tower_0"].parameters()])

    def checkpointed(forward, leaf):
        return checkpoint(forward, leaf, use_reentrant=False)

    unproven = gradients(checkpointed)
    assert "checkpoint" in group(router)["reasons"]["vmap"]
    for _ in range(4):  # each way is proven, then one is chosen
        wanted = gradients(lambda forward, leaf: forward(leaf))
    used = group(router)["used"]
    torch.testing.assert_close([unproven, gradients(checkpointed)], [wanted, wanted])
    assert (group(router)["used"], group(router)["reasons"]) == (used, {})
