"""What the documents show of components, towers and wide collectives runs, on the CPU and smaller."""

import pytest
import torch
from torch import Tensor, nn

from organisms.towers import AdaptiveFusion, BaseComponent, ExecutionStrategy, TorchComponent, WideRouter
from tests.organisms.towers.blocks import ExpertTower, SimpleTower


class ConfigComponent(BaseComponent):
    def __init__(self, name: str, **kwargs):
        super().__init__(name)
        self.config = kwargs

    def on_attach(self, parent):
        self.told = f"Attached to {parent.name}"


class AttentionComponent(TorchComponent):
    """Differs from the documents' class, which does not take the devices that it is given."""

    def __init__(self, name: str, dim: int, num_heads: int = 8, **devices):
        super().__init__(name, **devices)
        self.norm = nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, num_heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        x, _ = self.attn(x, x, x)
        return x


class WideCollective(WideRouter):
    def __init__(self, name: str, num_towers: int, dim: int, make=SimpleTower, **options):
        super().__init__(name, auto_discover=True, **options)
        for i in range(num_towers):
            self.attach(f"tower_{i}", make(f"tower_{i}", dim))
        self.discover_towers()
        self.attach("fusion", AdaptiveFusion("fusion", num_towers, dim))
        self.objects["num_towers"] = num_towers

    def forward(self, x: Tensor) -> Tensor:
        opinions = self.wide_forward(x)
        for name in self.tower_names:
            self[name].cache_clear()
        return self["fusion"](*opinions.values())


def test_components():
    tower = ExpertTower("tower", 16)
    tower.attach("config", ConfigComponent("config", scale=1.0))
    assert tower["config"].told == "Attached to tower"
    encoder = AttentionComponent("encoder", dim=16, home_device="cpu", allowed_devices={"cpu", "cuda:0"})
    assert encoder(torch.randn(2, 3, 16)).shape == (2, 3, 16)
    with pytest.raises(ValueError, match="may be on cpu, cuda:0, not on cuda:2"):
        encoder.to("cuda:2")
    assert encoder.to_home().is_home


def test_towers():
    tower = ExpertTower("vision_expert", dim=16, depth=4)
    assert tower(torch.randn(4, 5, 16)).shape == (4, 5, 16)
    assert (len(tower), len(list(tower)), tower[0].parent) == (4, 4, tower)
    assert isinstance(tower["norm"], nn.LayerNorm)


@pytest.mark.parametrize("strategy", list(ExecutionStrategy))
@pytest.mark.parametrize("make", [SimpleTower, ExpertTower])
def test_wide_collectives(make, strategy):
    collective = WideCollective("wide", num_towers=3, dim=16, make=make, execution_strategy=strategy)
    collective.network_to(device="cpu")
    x = torch.randn(2, 5, 16)
    for _ in range(3):
        output = collective(x)
        output.square().mean().backward()
        collective.reset()
    assert output.shape == (2, 5, 16)
    assert collective.cache_debug() == {}
    assert all(each.grad is not None for each in collective.parameters() if each.requires_grad)
    total = sum(each.cache_size_bytes() for each in collective.modules() if hasattr(each, "cache_size_bytes"))
    assert total == 0
    used = "wide_compiler" if strategy is ExecutionStrategy.AUTO else strategy.value
    assert collective.get_wide_stats()["groups"][0]["used"] == used
