import copy

import pytest
import torch
from torch import nn

from organisms.towers import BaseComponent, BaseRouter, TorchComponent


class Scale(TorchComponent):
    def __init__(self, name, **options):
        super().__init__(name, **options)
        self.factor = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return self.factor * x


class Config(BaseComponent):
    def __init__(self, name, **config):
        super().__init__(name)
        self.config, self.seen = config, []

    def on_attach(self, parent):
        self.seen.append(parent.name)

    def on_detach(self):
        self.seen.append(None)


def test_a_component_without_torch_learns_where_it_belongs():
    config, router = Config("config", scale=0.1), BaseRouter("router")
    assert config.parent is None
    router.attach("settings", config)
    assert (router["settings"], config.parent, config.seen) == (config, router, ["router"])
    assert router.detach("settings") is config
    assert (config.parent, config.seen, "settings" in router) == (None, ["router", None], False)


def test_what_two_routers_share_belongs_to_the_first():
    config, first, second = Config("config"), BaseRouter("first"), BaseRouter("second")
    first.attach("a", config)
    second.attach("a", config)
    assert config.parent is first
    second.detach("a")
    assert config.parent is first


def test_uuids_come_from_the_seed_and_the_name_or_are_all_different():
    drawn = [Scale(name, seed=seed).uuid for name, seed in [("a", 0), ("a", 0), ("a", 1), ("b", 0)]]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3
    assert Config("a", seed=0).uuid not in drawn
    assert Config("a").uuid != Config("a").uuid


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_name_is_a_text(name):
    with pytest.raises(ValueError, match="must be a text that is not empty"):
        Config(name)


def test_a_component_moves_to_allowed_devices_alone():
    part = Scale("part", home_device="cpu", allowed_devices={"cpu"})
    with pytest.raises(
        ValueError, match="'part' may be on cpu, not on meta: name the device in allowed_devices"
    ):
        part.to("meta", torch.float64)
    with pytest.raises(ValueError, match="not on cuda"):
        part.cuda()
    assert (part.factor.device.type, part.factor.dtype, part.is_home) == ("cpu", torch.float32, True)
    assert part.to(torch.float64).factor.dtype == torch.float64


def test_a_lenient_component_moves_with_a_warning_and_finds_home():
    part = Scale("part", home_device="meta", allowed_devices=["meta"], strict=False)
    assert not part.is_home
    assert part.to_home().is_home
    free = Scale("free")
    assert free.is_home
    assert free.to_home() is free
    with pytest.warns(UserWarning, match="may be on meta, not on cpu"):
        Scale("part", allowed_devices=["meta"], strict=False).cpu()


@pytest.mark.parametrize(
    ("device", "allowed", "fits"),
    [
        ("cuda:1", ["cuda"], True),
        ("cuda", ["cuda:0"], True),
        ("cuda:1", ["cuda:0", "cpu"], False),
        ("cpu", ["cuda"], False),
        ("cpu", None, True),
    ],
)
def test_a_device_without_a_number_stands_for_all_of_them_where_it_is_allowed(device, allowed, fits):
    assert Scale("part", allowed_devices=allowed).allows(device) is fits


def test_a_home_is_allowed():
    with pytest.raises(
        ValueError, match="home_device of 'part' must be one of its allowed_devices, cpu, but is meta"
    ):
        Scale("part", home_device="meta", allowed_devices=["cpu"])


def test_a_copy_belongs_to_nobody_and_copies_of_children_to_the_copy():
    router, part, config = BaseRouter("router"), Scale("part"), Config("config")
    router.attach("part", part)
    router.attach("config", config)
    assert copy.deepcopy(part).parent is None
    copied = copy.deepcopy(router)
    assert copied["part"].parent is copied
    assert copied["config"].parent is copied
    assert part.parent is router
