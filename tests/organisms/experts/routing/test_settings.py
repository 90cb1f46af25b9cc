import pytest
import torch

from organisms.experts import BiasRouter, MoEConfig, RouterConfig, TopKRouter, build_moe, set_routing
from organisms.experts.routing.settings import changed, routers


def layers(*kinds):
    configs = [
        MoEConfig(d_model=8, router=RouterConfig(n_experts=4, router_type=kind, noise_type="gumbel"))
        for kind in kinds
    ]
    return torch.nn.ModuleList(build_moe(config) for config in configs)


def test_all_routers_of_a_model_have_the_new_values_and_keep_the_others():
    model = layers("topk", "bias")
    set_routing(model, temperature=0.5, noise_std=0.0)
    assert [type(each) for each in routers(model)] == [TopKRouter, BiasRouter]
    assert [(each.config.temperature, each.config.noise_std, each.config.k) for each in routers(model)] == [
        (0.5, 0.0, 2)
    ] * 2


def test_a_router_routes_by_its_new_temperature():
    (layer,) = layers("topk")
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    before = layer.router.eval()(x).gates
    set_routing(layer, temperature=2.0)
    assert torch.allclose(layer.router(x).gates, torch.softmax(before.log() / 2, 1), atol=1e-6)


def test_a_value_that_is_not_allowed_changes_no_router():
    model = layers("topk", "topk")
    with pytest.raises(ValueError, match="temperature"):
        set_routing(model, temperature=0.0)
    with pytest.raises(ValueError, match="temperatur\n"):
        changed(RouterConfig(), temperatur=1.0)
    assert {each.config.temperature for each in routers(model)} == {1.0}


def test_a_model_without_routers_is_as_it_was():
    set_routing(torch.nn.Linear(2, 2), temperature=3.0)
