"""Dropout by streams: what is drawn depends on the tower's key and the number of the dropout alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from organisms.towers import BaseTower, TorchComponent, VMapTowerGroup, WidePrimitiveTowerGroup, WideRouter
from organisms.towers.wide.groups.streams import Streams, drops, keys
from tests.organisms.towers.wide.shapes import BATCHED, inputs


class Dropping(TorchComponent):
    """Dropouts of both kinds that can be followed: modules, and functions."""

    def __init__(self, name):
        super().__init__(name)
        self.scale = nn.Parameter(torch.ones(4))
        self.drop, self.surely = nn.Dropout(0.5), nn.Dropout(1.0)

    def forward(self, x):
        y = self.drop(x) + F.dropout(self.scale * x, 0.3, training=self.training) + self.surely(x)
        return y + F.dropout(x, 0.5, False)


class Rowwise(Dropping):
    """A dropout under a vmap of the tower's own, which cannot be listed."""

    def forward(self, x):
        return super().forward(x) + torch.func.vmap(lambda row: F.dropout(row, 0.5))(x)


def one_by_one(towers, x, drawn):
    found = {}
    for key, tower in zip(drawn, towers, strict=True):
        with Streams(key).of(key):
            found[tower.name] = tower(x)
    return found


@pytest.mark.parametrize(
    ("kind", "tower"),
    [(VMapTowerGroup, Dropping), (WidePrimitiveTowerGroup, Dropping), (VMapTowerGroup, Rowwise)],
)
def test_towers_drop_the_same_together_and_one_by_one(kind, tower):
    towers, x = [tower(f"t{at}").double() for at in range(3)], inputs((5, 4))
    drawn = keys(3, torch.Generator().manual_seed(0))
    found, wanted = kind(towers)(x, drawn), one_by_one(towers, x, drawn)
    torch.testing.assert_close(found, wanted)


def test_keys_and_numbers_of_dropouts_give_different_masks_of_the_right_share():
    x, drawn = torch.ones(100, 100), keys(2, torch.Generator().manual_seed(0))
    masks = []
    for key in (*drawn, drawn[0]):
        with Streams(key).of(key):
            masks += [F.dropout(x, 0.25), F.dropout(x, 0.25)]
    for mask in masks:
        assert (mask == 0).float().mean() == pytest.approx(0.25, abs=0.02)
        assert mask.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert [torch.equal(masks[0], each) for each in masks] == [True, False, False, False, True, False]


def test_torch_draws_nothing_meanwhile():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with Streams(key := torch.tensor(1)).of(key):
        F.dropout(torch.ones(3), 0.5)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tower_drops_in_training_where_it_holds_a_dropout():
    assert drops(Dropping("a"))
    assert not drops(Dropping("a").eval())
    assert not drops(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)))
    assert drops(nn.MultiheadAttention(4, 1, dropout=0.1))


DROPS = {
    "of channels": (nn.Dropout1d, lambda drop, x: drop(x)),
    "of images": (nn.Dropout2d, lambda drop, x: drop(x.unsqueeze(0)).squeeze(0)),
    "that keeps the moments": (nn.AlphaDropout, lambda drop, x: drop(x)),
    "of channels that keeps the moments": (nn.FeatureAlphaDropout, lambda drop, x: drop(x)),
    "that no module announces": (nn.Identity, lambda _, x: F.dropout(x, 0.5)),
    "of attention": (
        lambda share: nn.MultiheadAttention(4, 1, share, batch_first=True),
        lambda drop, x: drop(x, x, x)[0],
    ),
}


class Stage(TorchComponent):
    def __init__(self, name, kind):
        super().__init__(name)
        make, self.use = DROPS[kind]
        self.drop = make(0.5)

    def forward(self, x):
        return self.use(self.drop, x)


@pytest.mark.parametrize("strategy", BATCHED)
@pytest.mark.parametrize("kind", DROPS)
def test_every_dropout_is_drawn_from_the_generator_and_differs_by_tower(kind, strategy):
    router, x = WideRouter("wide", execution_strategy=strategy), torch.ones(5, 8, 4)
    for name in ("a", "b"):
        router.attach(name, BaseTower(name))
        router[name].append(Stage(f"{name}_stage", kind))
    router["b"].load_state_dict(router["a"].state_dict())
    before = torch.get_rng_state()
    first, second, other = (router.wide_forward(x, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert all(torch.equal(first[name], second[name]) for name in "ab")
    assert not torch.equal(first["a"], other["a"])
    assert not torch.equal(first["a"], first["b"])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("strategy", BATCHED)
def test_attention_that_drops_nothing_stays_together_beside_a_dropout(strategy):
    class Block(TorchComponent):
        def __init__(self, name):
            super().__init__(name)
            self.attend, self.drop = nn.MultiheadAttention(4, 1, batch_first=True), nn.Dropout(0.5)

        def forward(self, x):
            return self.drop(self.attend(x, x, x)[0])

    router, x = WideRouter("wide", execution_strategy=strategy), torch.ones(5, 8, 4)
    for name in ("a", "b"):
        router.attach(name, BaseTower(name))
        router[name].append(Block(f"{name}_block"))
    first, second = (router.wide_forward(x, torch.Generator().manual_seed(5)) for _ in range(2))
    torch.testing.assert_close(first, second)
    assert router.get_wide_stats()["groups"][0]["used"] == strategy.value


def test_a_dropout_in_place_changes_what_it_is_given():
    x = torch.ones(100)
    with Streams(key := torch.tensor(1)).of(key):
        found = F.dropout(x, 0.5, inplace=True)
    assert found is x
    assert 0 < (x == 0).sum() < 100
