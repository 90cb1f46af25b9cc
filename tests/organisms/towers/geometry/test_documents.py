"""The documents' examples of addresses, messages and fusions, smaller, on the CPU, with names from one package."""

import pytest
import torch
from torch import Tensor, nn

from organisms.towers import (
    AdaptiveFusion,
    AddressComponent,
    BaseTower,
    ExecutionStrategy,
    GatedFusion,
    NotifierRouter,
    SphericalAddressComponent,
    WalkerFusion,
    WalkerInception,
    WideRouter,
    create_walker_fusion,
)
from tests.organisms.towers.blocks import ExpertTower, TransformerBlock

DIM = 8


class AddressedTower(BaseTower):
    def __init__(
        self,
        name: str,
        dim: int,
        notifier: NotifierRouter,
        depth: int = 2,
        address_type: str = "euclidean",
        channel: str = "default",
    ):
        super().__init__(name)
        if address_type == "spherical":
            addr = SphericalAddressComponent(name, fingerprint_dim=64)
        else:
            addr = AddressComponent(name, fingerprint_dim=64)
        self.attach("address", addr)
        self.attach("notifier", notifier)
        notifier.register(addr, channel=channel)
        for i in range(depth):
            self.append(TransformerBlock(f"{name}_block_{i}", dim))
        self.attach("final_norm", nn.LayerNorm(dim))

    def forward(self, x: Tensor) -> Tensor:
        addr = self["address"]
        if addr.has_mail:
            mail = addr.aggregate_inbox("mean")
            if mail is not None and mail.shape == x.shape:
                x = x + 0.1 * mail
            addr.clear()
        for stage in self.stages:
            x = stage(x)
        return self["final_norm"](x)

    def broadcast(self, opinion: Tensor):
        self["notifier"].post(self["address"], opinion, channel="default")


class RoutedWideCollective(WideRouter):
    def __init__(self, name: str, num_towers: int, dim: int):
        super().__init__(name, auto_discover=True)
        notifier = NotifierRouter("notifier")
        self.attach("notifier", notifier)
        for i in range(num_towers):
            tower = ExpertTower(f"expert_{i}", dim)
            addr = SphericalAddressComponent(f"expert_{i}", fingerprint_dim=64)
            tower.attach("address", addr)
            notifier.register(addr, channel="experts")
            self.attach(f"expert_{i}", tower)
        self.discover_towers()
        self.attach("fusion", AdaptiveFusion("fusion", num_towers, dim))
        self.objects["num_towers"] = num_towers

    def forward(self, x: Tensor) -> Tensor:
        opinions = self.wide_forward(x)
        notifier = self["notifier"]
        for name, opinion in opinions.items():
            tower = self[name]
            notifier.post(tower["address"], opinion, channel="experts")
        notifier.route()
        return self["fusion"](*opinions.values())


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_complete_example_runs_and_its_towers_hear_one_another():
    torch.manual_seed(0)
    collective = RoutedWideCollective("routed", num_towers=3, dim=DIM)
    collective.network_to(device="cpu")
    x = drawn(2, 5, DIM)
    output = collective(x)
    assert output.shape == x.shape
    opinions = [collective[f"expert_{i}"](x) for i in range(3)]
    torch.testing.assert_close(output, collective["fusion"](*opinions))
    mail = collective["expert_0"]["address"].aggregate_inbox("mean")
    torch.testing.assert_close(mail, (opinions[1] + opinions[2]) / 2)
    output.square().sum().backward()
    trained = [each for name, each in collective.named_parameters() if "address" not in name]
    assert all(each.grad is not None for each in trained)
    collective.reset()
    assert not collective["expert_0"]["address"].has_mail


def passes(collective, speak, count=3):
    """Opinions of several passes, with mail in between."""
    opinions = []
    for number in range(count):
        said = collective.wide_forward(drawn(2, 5, DIM, seed=number))
        opinions.append(torch.stack(list(said.values())))
        speak(said)
    return torch.stack(opinions)


WAYS = ("sequential", "vmap", "wide_compiler")


def test_towers_that_read_no_mail_are_computed_together_whatever_was_posted():
    found = []
    for way in WAYS:
        torch.manual_seed(0)
        collective = RoutedWideCollective("routed", num_towers=3, dim=DIM)
        collective.execution_strategy = ExecutionStrategy(way)
        with torch.no_grad():
            found.append(passes(collective, lambda _, model=collective: model(drawn(2, 5, DIM))))
        assert collective.analyze_structure()["groups"] == [["expert_0", "expert_1", "expert_2"]]
        assert collective["expert_1"]["address"].has_mail
    for each in found[1:]:
        torch.testing.assert_close(each, found[0])


@pytest.mark.parametrize("speaks_inside", [False, True])
def test_towers_that_read_or_post_in_their_forward_pass_are_computed_one_by_one(speaks_inside):
    class Speaking(AddressedTower):
        def forward(self, x: Tensor) -> Tensor:
            y = self["final_norm"](self[0](x))  # it posts, and reads nothing
            self.broadcast(y)
            return y

    found = []
    for way in WAYS:
        torch.manual_seed(0)
        notifier, collective = NotifierRouter("notifier", k=1), WideRouter("wide", execution_strategy=way)
        for i in range(3):
            kind = Speaking if speaks_inside else AddressedTower
            collective.attach(f"tower_{i}", kind(f"tower_{i}", DIM, notifier, depth=1))

        def speak(said, collective=collective, notifier=notifier):
            for name, opinion in said.items():
                if not speaks_inside:
                    collective[name].broadcast(opinion)
            heard = notifier.route()["default"]
            assert all(len(senders) == 1 for senders in heard.values())

        found.append(passes(collective, speak))
    for each in found[1:]:
        torch.testing.assert_close(each, found[0])


@pytest.mark.parametrize("address_type", ["euclidean", "spherical"])
def test_addressed_towers_hear_in_the_next_pass_what_was_broadcast(address_type):
    torch.manual_seed(0)
    notifier = NotifierRouter("notifier")
    a, b = (AddressedTower(name, DIM, notifier, address_type=address_type) for name in ("a", "b"))
    x = drawn(2, 5, DIM)
    alone, said = b(x), a(x)
    a.broadcast(said)
    notifier.route()
    heard = b(x)
    torch.testing.assert_close(heard, b(x + 0.1 * said))
    assert not torch.allclose(heard, alone)
    heard.square().sum().backward()
    assert a[0].ffn[0].weight.grad.any()  # the listener's gradient reaches the speaker
    assert not b["address"].has_mail


def test_mail_of_the_last_step_is_read_in_training_once_it_is_detached():
    torch.manual_seed(0)
    notifier = NotifierRouter("notifier", detach=True)
    towers = [AddressedTower(name, DIM, notifier) for name in ("a", "b")]
    optimizer = torch.optim.SGD([each for tower in towers for each in tower.parameters()], 0.01)
    x = drawn(2, 5, DIM)
    for _ in range(3):
        opinions = [tower(x) for tower in towers]
        optimizer.zero_grad()
        sum(each.square().sum() for each in opinions).backward()
        optimizer.step()
        for tower, opinion in zip(towers, opinions, strict=True):
            tower.broadcast(opinion)
        notifier.route()
    assert all(tower["address"].has_mail for tower in towers)


def test_the_examples_of_fusions_and_walkers_run():
    opinion_a, opinion_b, opinion_c = (drawn(2, 256, seed=seed) for seed in range(3))
    for kind in (AdaptiveFusion, GatedFusion):
        fusion = kind("fusion", num_inputs=3, in_features=256)
        assert fusion(opinion_a, opinion_b, opinion_c).shape == (2, 256)
    inception = WalkerInception("inc", in_features=256, num_steps=8, aux_type="cosine")
    for fusion in (
        WalkerFusion("walk", in_features=256, preset="shiva"),
        WalkerFusion("walk", in_features=256, preset="shiva", inception=inception),
        create_walker_fusion("s", 256, preset="shiva"),
        create_walker_fusion("l", 256, preset="shiva", with_inception=True),
    ):
        assert fusion(opinion_a, opinion_b).shape == (2, 256)
