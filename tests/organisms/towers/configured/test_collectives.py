"""Configured towers and their collectives."""

import pytest
import torch
from pydantic import ValidationError

from organisms.towers import (
    AdaptiveFusion,
    ConfigurableCollective,
    ConfigurableConvTower,
    ConfigurableTower,
    ConvTowerCollective,
    ConvTowerConfig,
    TowerConfig,
    WalkerFusion,
    preset_flux_vae_towers,
    preset_sd_vae_towers,
    preset_sequence_towers,
)
from organisms.towers.fusion.builder import STRATEGIES
from tests.organisms.towers.configured.cases import drawn
from tests.organisms.towers.wide.shapes import BATCHED, passed, with_strategy
from tests.organisms.towers.wide.test_agreement import assert_the_same

TOKENS = TowerConfig(dim=4, num_heads=2, activation="swiglu", out_features=3, dropout=0.3)
IMAGES = {"channels": 4, "out_features": 3, "depth": 1}
PRESETS = {
    preset_flux_vae_towers: (2, 16, 3, 4),
    preset_sd_vae_towers: (2, 4, 3, 4),
    preset_sequence_towers: (2, 5, 256),
}


def collective(preset=None, **options):
    """A collective of one of the presets, or of towers over tokens, and an input for it."""
    if preset is None:
        configs = {"a": TOKENS, "b": TOKENS, "c": TowerConfig(dim=4, out_features=3)}
        return ConfigurableCollective("one", configs, seed=1, **options).double(), drawn(2, 5, 4)
    made = ConvTowerCollective("one", preset(**IMAGES), seed=1, **options)
    return made.double(), drawn(*PRESETS[preset])


def test_a_tower_is_its_stages_a_norm_and_a_projection():
    tower = ConfigurableTower("tower", TOKENS, seed=1).double().eval()
    x = drawn(2, 5, 4)
    features = tower[3](tower[2](tower[1](tower[0](x))))
    opinion = tower(x)
    assert len(tower) == 4
    torch.testing.assert_close(tower.cached_features, tower["norm"](features))
    torch.testing.assert_close(opinion, tower["output_proj"](tower.cached_features))
    assert opinion.shape == (2, 5, 3)
    tower.cache_clear()
    assert tower.cached_features is None


def test_attention_is_what_lets_tokens_see_one_another():
    for heads in (0, 2):
        tower = ConfigurableTower("tower", TowerConfig(dim=4, num_heads=heads), seed=1).double()
        x = drawn(2, 5, 4)
        assert torch.allclose(tower(x)[:, :1], tower(x[:, :1])) is not bool(heads)


def test_a_convolutional_tower_reads_what_its_mode_says_and_gives_one_opinion():
    tower = ConfigurableConvTower("tower", ConvTowerConfig(**IMAGES, use_channel_mixer=True), seed=1)
    assert [type(each).__name__ for each in tower] == ["ConvBlock", "ChannelMixerBlock"]
    for shape, features in (((2, 4, 3, 5), (2, 4, 3, 5)), ((2, 7, 4), (2, 4, 1, 7))):
        x = drawn(*shape).float()
        opinion = tower(x)
        assert tower.cached_features.shape == features
        torch.testing.assert_close(opinion, tower["opinion"](tower.cached_features))
        assert opinion.shape == (2, 3)


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_a_collective_fuses_opinions_and_leaves_no_cache(preset):
    made, x = collective(preset)
    made.eval()
    opinions = {name: tower(x) for name, tower in made.towers.items()}
    features = {name: tower.cached_features for name, tower in made.towers.items()}
    fused = made["fusion"](*opinions.values())
    torch.testing.assert_close(made(x), fused)
    assert made.cache_debug() == {}
    heard = made.heard(x)
    assert made.cache_debug() == {}
    torch.testing.assert_close(heard.fused, fused)
    torch.testing.assert_close(heard.opinions, opinions)
    torch.testing.assert_close(heard.features, features)


@pytest.mark.parametrize("preset", [None, *PRESETS])
@pytest.mark.parametrize("strategy", BATCHED)
def test_groups_are_really_computed_together(preset, strategy):
    base, x = collective(preset, execution_strategy="sequential")
    other = with_strategy(base, strategy)
    assert_the_same(passed(other, x), passed(base, x), 1e-10)
    groups = [each for each in other.get_wide_stats()["groups"] if len(each["towers"]) > 1]
    assert {each["used"] for each in groups} == {strategy.value}
    assert len(groups) == (1 if preset is None else 4)


def test_presets_are_what_the_documents_say():
    said = {
        preset_flux_vae_towers: (16, "spatial", "attention"),
        preset_sd_vae_towers: (4, "spatial", "adaptive"),
        preset_sequence_towers: (256, "sequence", "attention"),
    }
    for preset, wanted in said.items():
        for config in preset().values():
            assert (config.in_channels, config.input_mode, config.pool_mode) == wanted
    configs = preset_flux_vae_towers(copies=3, depth=5, pool_mode="multiscale")
    assert len(configs) == 12
    assert {(each.depth, each.pool_mode) for each in configs.values()} == {(5, "multiscale")}
    ways = {(each.use_multiscale, each.use_channel_mixer) for each in configs.values()}
    assert ways == {(False, False), (True, False), (False, True), (True, True)}


def test_what_is_drawn_belongs_to_seed_and_names():
    state = torch.get_rng_state()
    first, again = (collective(preset_sd_vae_towers)[0].state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(each, again[name]) for name, each in first.items())
    a, b = (f"components.plain_{i}.components.input.project.weight" for i in range(2))
    assert not torch.equal(first[a], first[b])
    other = ConvTowerCollective("one", preset_sd_vae_towers(**IMAGES), seed=2).double().state_dict()
    matrices = [name for name, each in first.items() if each.ndim > 1]
    assert "components.fusion.read" in matrices
    assert not any(torch.equal(first[name], other[name]) for name in matrices)


@pytest.mark.parametrize("fusion", STRATEGIES)
def test_any_fusion_will_do(fusion):
    made, x = collective(fusion=fusion)
    assert type(made["fusion"]) is STRATEGIES[fusion]
    made(x).sum().backward()
    assert all(each.grad is not None for each in made.parameters())


def test_a_collective_says_what_it_cannot_be_made_of():
    with pytest.raises(
        ValueError, match="configs of collective 'one' must be a mapping from the names of towers"
    ):
        ConfigurableCollective("one", {})
    with pytest.raises(ValueError, match="must hold a ConvTowerConfig for tower 'a', but hold a TowerConfig"):
        ConvTowerCollective("one", {"a": TOKENS})
    for other in ({"dim": 6}, {"dim": 4, "out_features": 5}):
        with pytest.raises(
            ValueError, match=r"must read one width and give opinions of one width, but 'a' has \(4, 3\)"
        ):
            ConfigurableCollective("one", {"a": TOKENS, "b": TowerConfig(**other)})
    with pytest.raises(ValueError, match="must be made for 1 opinions of 3 numbers, but is for 2 of 3"):
        ConfigurableCollective("one", {"a": TOKENS}, fusion=AdaptiveFusion("fusion", 2, 3))
    with pytest.raises(ValueError, match="fusion is 'mean', but must be one of adaptive"):
        ConfigurableCollective("one", {"a": TOKENS}, fusion="mean")


def test_configurations_say_what_is_wrong():
    with pytest.raises(ValidationError, match="num_heads must divide dim, 4, but is 3"):
        TowerConfig(dim=4, num_heads=3)
    with pytest.raises(
        ValidationError, match="kernel_size must be odd, so that a kernel has a middle, but is 2"
    ):
        ConvTowerConfig(kernel_size=2)
    with pytest.raises(ValidationError, match="pool_mod"):
        preset_sd_vae_towers(pool_mod="adaptive")
    with pytest.raises(ValueError, match="copies of 'the preset' must be a whole number from 1 on, but is 0"):
        preset_sd_vae_towers(copies=0)


def test_a_collective_may_be_fused_by_a_walk():
    configs = {name: TowerConfig(dim=4) for name in "abc"}
    collective = ConfigurableCollective("c", configs, fusion=WalkerFusion("walk", 4, "slerp"), seed=0)
    heard = collective.heard(drawn(2, 5, 4).float())
    torch.testing.assert_close(heard.fused, collective["fusion"](*heard.opinions.values()))
    with pytest.raises(ValueError, match="must be made for 3 opinions of 4 numbers, but is for 3 of 8"):
        ConfigurableCollective("c", configs, fusion=WalkerFusion("walk", 8))
