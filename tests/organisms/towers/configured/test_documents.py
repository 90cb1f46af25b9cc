"""The documents' examples of configured towers, with names from one package."""

import torch
from torch import Tensor

from organisms.towers import (
    AdaptiveFusion,
    BaseTower,
    ConfigurableConvTower,
    ConvTowerCollective,
    ConvTowerConfig,
    LinearProjection,
    WideRouter,
    preset_flux_vae_towers,
)
from organisms.towers.configured.convolutional.blocks import ConvBlock


class FeatureExposingTower(BaseTower):
    """The documents' tower, with a stage and an output."""

    def __init__(self, name: str):
        super().__init__(name)
        self.append(ConvBlock(f"{name}_block", 4))
        self.attach("output_proj", LinearProjection(f"{name}_output", 5))

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        self.cache_set("features", x)
        return self["output_proj"](x)

    @property
    def cached_features(self):
        return self.cache_get("features")


class MyCollective(WideRouter):
    def __init__(self, name: str):
        super().__init__(name, auto_discover=True)
        for i in range(2):
            self.attach(f"tower_{i}", FeatureExposingTower(f"tower_{i}"))
        self.discover_towers()
        self.attach("fusion", AdaptiveFusion("fusion", 2, 5))

    def forward(self, x: Tensor) -> Tensor:
        opinions = self.wide_forward(x)
        self.seen = [self[name].cached_features.shape for name in self.tower_names]
        for name in self.tower_names:
            self[name].cache_clear()
        return self["fusion"](*opinions.values())


def test_the_documented_options_make_a_tower():
    config = ConvTowerConfig(
        in_channels=16,
        input_mode="spatial",
        pool_mode="attention",
        use_channel_mixer=True,
        use_multiscale=True,
    )
    tower = ConfigurableConvTower("flux", config)
    assert tower(torch.randn(2, 16, 8, 8)).shape == (2, 256)
    kinds = {type(each).__name__ for each in tower}
    assert kinds == {"MultiScaleConvBlock", "ChannelMixerBlock"}


def test_features_are_read_and_caches_cleared_by_the_collective():
    model = MyCollective("mine")
    for _ in range(2):
        output = model(torch.randn(3, 4, 5, 5))
    assert output.shape == (3, 4, 5, 5)
    assert model.seen == [(3, 4, 5, 5)] * 2
    assert model.cache_debug() == {}


def test_a_collective_of_a_preset_leaves_no_cache_between_batches():
    model = ConvTowerCollective("flux", preset_flux_vae_towers(copies=1, channels=8, out_features=8))
    model.network_to(device="cpu")
    for _ in range(2):
        assert model(torch.randn(2, 16, 4, 4)).shape == (2, 8)
        assert model.cache_debug() == {}
    model.reset()
