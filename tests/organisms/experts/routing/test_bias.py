import inspect

import pytest
import torch

from organisms.experts.routing.bias import update_biases
from tests.organisms.experts.small_routers import WIDTH, drawn, small_router

X = drawn(60, WIDTH)


@pytest.mark.parametrize("scores", ["softmax", "sigmoid"])
def test_the_bias_chooses_and_does_not_weigh(scores):
    router = small_router("bias", scores=scores)
    router.bias += drawn(8, seed=5) * 0.3
    info = router(X)
    assert not torch.equal(info.experts, info.logits.topk(2).indices)
    for token, logits in enumerate(info.logits.detach()):
        gates = logits.softmax(0) if scores == "softmax" else logits.sigmoid()
        chosen = (gates + router.bias).topk(2).indices
        assert torch.equal(info.experts[token], chosen)
        torch.testing.assert_close(info.weights[token], gates[chosen] / gates[chosen].sum())


def test_without_a_bias_the_choice_is_top_k():
    assert torch.equal(small_router("bias")(X).experts, small_router("topk")(X).experts)


def test_an_update_moves_each_bias_by_the_speed_towards_the_mean_demand():
    router = small_router("bias", n_experts=4, bias_update_speed=0.5)
    router.update(torch.tensor([9, 3, 6, 6]))
    assert router.bias.tolist() == [-0.5, 0.5, 0.0, 0.0]
    router.update(torch.tensor([9, 3, 7, 6]))
    assert router.bias.tolist() == [-1.0, 1.0, -0.5, 0.5]


def test_a_demand_of_other_routers_or_experts_is_refused():
    router = small_router("bias")
    for demand in (torch.ones(7).long(), torch.ones(1).long(), torch.ones(1, 8).long()):
        with pytest.raises(ValueError, match=r"demand must be \[8\], a number an expert, but is \["):
            inspect.unwrap(type(router).update)(router, demand)
    for demand in (torch.ones(2, 8).long(), torch.ones(1, 1, 8).long(), torch.tensor(8)):
        with pytest.raises(
            ValueError, match=r"demand must be \[L, E\] with a row for each of the model's 1 routers"
        ):
            inspect.unwrap(update_biases)(torch.nn.ModuleList([router, small_router()]), demand)
    assert not router.bias.any()


def test_of_one_layer_the_demand_may_be_a_row():
    one, other = small_router("bias"), small_router("bias")
    demand = torch.arange(8)
    update_biases(torch.nn.ModuleList([one]), demand)
    update_biases(torch.nn.ModuleList([other]), demand.unsqueeze(0))
    assert one.bias.any()
    assert torch.equal(one.bias, other.bias)


def test_the_bias_is_no_parameter_but_is_saved_and_no_pass_changes_it():
    router = small_router("bias")
    assert "bias" in router.state_dict()
    assert "bias" not in dict(router.named_parameters())
    info = router(X)
    (info.weights.sum() + info.metrics["aux_total"]).backward()
    assert not router.bias.any()
    assert not router.bias.requires_grad


def test_updates_even_the_demand_out():
    router = small_router("bias", bias_update_speed=0.002)
    before = router(X).demand
    for _ in range(200):
        router.update(router(X).demand)
    after = router(X).demand
    assert before.max() - before.min() > 10
    assert after.max() - after.min() <= 4


@pytest.mark.parametrize("cast", [torch.nn.Module.bfloat16, torch.nn.Module.half, torch.nn.Module.double])
def test_a_cast_leaves_the_bias_as_exact_as_it_was(cast):
    router = small_router("bias")
    router.update(router(X).demand)
    before = router.bias.clone()
    cast(router)
    assert router.weight.dtype != torch.float32
    assert router.bias.dtype == torch.float32
    assert torch.equal(router.bias, before)
    assert router.to("meta").bias.device.type == "meta"


@pytest.fixture
def default_of_half():
    torch.set_default_dtype(torch.bfloat16)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("default_of_half")
def test_under_another_default_the_bias_is_as_exact():
    router = small_router("bias", bias_update_speed=0.001)
    router.bias += 1
    router.update(torch.arange(8))
    assert router.weight.dtype == torch.bfloat16
    assert sorted(set(router.bias.tolist())) == pytest.approx([0.999, 1.001])


def test_a_bias_that_is_loaded_in_place_of_the_old_one_is_as_exact():
    router, half = small_router("bias"), small_router("bias").state_dict()
    half = {name: each.bfloat16() for name, each in half.items()}
    torch.nn.ModuleList([router]).load_state_dict(
        {f"0.{name}": each for name, each in half.items()}, assign=True
    )
    assert router.weight.dtype == torch.bfloat16
    assert router.bias.dtype == torch.float32


@pytest.mark.parametrize("cast", [torch.nn.Module.float, torch.nn.Module.bfloat16])
def test_a_router_of_no_memory_gets_some_and_then_its_state(cast):
    router = small_router("bias")
    router.update(router(X).demand)
    empty = cast(small_router("bias").to("meta")).to_empty(device="cpu")
    assert empty.bias.dtype == torch.float32
    empty.load_state_dict(router.state_dict())
    assert torch.equal(empty.bias, router.bias)
