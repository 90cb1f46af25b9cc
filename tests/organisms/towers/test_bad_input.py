"""Arguments of another kind than is asked for: one sentence says which, and what would be right."""

import pytest
import torch
from torch import nn

from organisms.towers import (
    AdaptiveBindingFusion,
    AddressComponent,
    BaseRouter,
    ConfigurableCollective,
    ConfigurableConvTower,
    ConfigurableTower,
    ConvTowerConfig,
    FusionCollective,
    HyperbolicAddressComponent,
    NotifierRouter,
    QwenPort,
    TorchComponent,
    TowerConfig,
    WalkerFusion,
)

OPINIONS = [torch.ones(2, 4)] * 3
ONE = {"a": TowerConfig(dim=4)}


def routed():
    """A notifier, and an address that was sent whole numbers."""
    notifier = NotifierRouter("notifier")
    addresses = [AddressComponent(name, 2) for name in "ab"]
    for each in addresses:
        notifier.register(each)
    notifier.post(addresses[0], torch.ones(3, dtype=torch.int64))
    notifier.route()
    return notifier, addresses[1]


CASES = {
    "a device that is none": (
        lambda: TorchComponent("x", home_device="gpu"),
        "home_device of 'x' must be a device such as 'cuda:0', but is 'gpu'",
    ),
    "an allowed device that is none": (
        lambda: TorchComponent("x", allowed_devices={"gpu"}),
        "each of allowed_devices of 'x' must be a device such as 'cuda:0', but is 'gpu'",
    ),
    "one allowed device": (
        lambda: TorchComponent("x", allowed_devices="cpu"),
        "allowed_devices of 'x' must be a set of devices, but is 'cpu'",
    ),
    "a number of allowed devices": (
        lambda: TorchComponent("x", allowed_devices=2),
        "allowed_devices of 'x' must be a set of devices, but is 2",
    ),
    "an object by number": (
        lambda: BaseRouter("x").objects.update({3: 1}),
        "name in objects must be a text, but is 3",
    ),
    "a truth as a dimension": (lambda: AddressComponent("x", True), "must be a whole number from 1 on, but"),
    "a truth as a capacity": (
        lambda: AddressComponent("x", capacity=True),
        "capacity must be a whole number",
    ),
    "a place in words": (
        lambda: HyperbolicAddressComponent("x", 2, fingerprint="ab"),
        "fingerprint of address 'x' must be numbers, but is 'ab'",
    ),
    "a place partly in words": (
        lambda: AddressComponent("x", 2, fingerprint=[1.0, "b"]),
        r"must be numbers, but is \[1.0, 'b'\]",
    ),
    "a distance to a name": (
        lambda: AddressComponent("x", 2).distance("y"),
        "must be of type AddressComponent, but is of type str",
    ),
    "a similarity to a tensor": (
        lambda: AddressComponent("x", 2).similarity(torch.ones(2)),
        "must be of type AddressComponent, but is of type Tensor",
    ),
    "a message in words": (
        lambda: AddressComponent("x", 2).receive("hello"),
        "what address 'x' receives must be of type Message, but is of type str",
    ),
    "a truth as a number of neighbours": (lambda: NotifierRouter("x", k=True), "k must be a whole number"),
    "a radius in words": (lambda: NotifierRouter("x", radius="far"), "radius must be a distance from 0 on"),
    "no channel": (
        lambda: NotifierRouter("x").register(AddressComponent("a"), channel=None),
        "a channel must be of type str, but is of type NoneType",
    ),
    "a sender by name": (
        lambda: routed()[0].post("a", torch.ones(2)),
        "who is on a channel must be of type AddressComponent, but is of type str",
    ),
    "one that leaves by name": (
        lambda: routed()[0].unregister("a"),
        "who is on a channel must be of type AddressComponent, but is of type str",
    ),
    "the mean of whole numbers": (
        lambda: routed()[1].aggregate_inbox("mean"),
        "aggregated by 'mean' must hold floating-point numbers, but 'a' sent torch.int64",
    ),
    "attention to whole numbers": (
        lambda: routed()[1].aggregate_inbox("attention"),
        "aggregated by 'attention' must hold floating-point numbers",
    ),
    "no preset": (
        lambda: WalkerFusion("x", 4, None),
        "preset of 'x' must be of type str or ConfigurableWalker, but is of type NoneType",
    ),
    "an inception that is none": (
        lambda: WalkerFusion("x", 4, "lerp", nn.Linear(4, 4)),
        "inception of 'x' must be of type WalkerInception or NoneType, but is of type Linear",
    ),
    "a fusion by number": (
        lambda: ConfigurableCollective("x", ONE, fusion=3),
        "fusion of collective 'x' must be of type str, FusionComponent or WalkerFusion, but is of type int",
    ),
    "a tower of a mapping": (
        lambda: ConfigurableTower("x", {"dim": 4}),
        "config of tower 'x' must be of type TowerConfig, but is of type dict",
    ),
    "a tower of the other kind of configuration": (
        lambda: ConfigurableConvTower("x", TowerConfig(dim=4)),
        "config of tower 'x' must be of type ConvTowerConfig, but is of type TowerConfig",
    ),
    "another tower of the other kind": (
        lambda: ConfigurableTower("x", ConvTowerConfig(in_channels=4)),
        "config of tower 'x' must be of type TowerConfig, but is of type ConvTowerConfig",
    ),
    "a mask in a list": (
        lambda: AdaptiveBindingFusion("x", 3, 4)(*OPINIONS, mask=[True, False, True]),
        "mask must be a dense torch.Tensor, but is a list",
    ),
    "a list of fusions": (
        lambda: FusionCollective("x", [AdaptiveBindingFusion("y", 3, 4)]),
        "fusions of 'x' must be of type Mapping, but is of type list",
    ),
    "a fusion that is none": (
        lambda: FusionCollective("x", {"y": nn.Linear(4, 4)}),
        "fusion 'y' of 'x' must be of type FusionComponent, but is of type Linear",
    ),
    "a dtype by name": (
        lambda: QwenPort("x", "folder", dtype="float16"),
        "dtype of port 'x' must be of type dtype, but is of type str",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_argument_of_another_kind_is_refused(case):
    call, sentence = CASES[case]
    with pytest.raises(ValueError, match=sentence):
        call()
