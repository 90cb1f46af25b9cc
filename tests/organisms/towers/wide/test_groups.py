"""Groups by themselves: vmap, wide primitives, and both mixed."""

import copy

import pytest
import torch
from torch import nn

from organisms.towers import SubEnsembleGroup, TorchComponent, VMapTowerGroup, WidePrimitiveTowerGroup
from organisms.towers.wide.groups.vectorised import UnbatchableError
from tests.organisms.towers.blocks import CachingTower, SimpleTower
from tests.organisms.towers.wide.shapes import BATCHED, collective, inputs, passed, with_strategy

GROUPS = [VMapTowerGroup, WidePrimitiveTowerGroup, SubEnsembleGroup]


def towers(number=3, kind=CachingTower):
    return [kind(f"t{at}", 4).double() for at in range(number)]


@pytest.mark.parametrize("kind", GROUPS)
def test_a_group_gives_each_towers_opinion_and_cache(kind):
    made = towers()
    group, alone, x = kind(made), copy.deepcopy(made), inputs((3, 4))
    for _ in range(2):
        found = group(x)
    assert list(found) == ["t0", "t1", "t2"]
    for tower, other in zip(made, alone, strict=True):
        torch.testing.assert_close(found[tower.name], other(x))
        torch.testing.assert_close(tower.cache_get("features"), other.cache_get("features"))
    assert {id(each) for each in group.parameters()} >= {
        id(each) for tower in made for each in tower.parameters()
    }


@pytest.mark.parametrize("kind", GROUPS)
def test_a_group_may_have_one_tower(kind):
    (tower,), x = towers(1), inputs((3, 4))
    torch.testing.assert_close(kind([tower])(x)["t0"], tower(x))


@pytest.mark.parametrize("kind", GROUPS)
def test_a_copied_group_has_parameters_of_its_own(kind):
    group, x = kind(dict(zip("abc", towers(), strict=True))), inputs((3, 4))
    before = group(x)
    copied = copy.deepcopy(group)
    with torch.no_grad():
        for each in copied.parameters():
            each.zero_()
    assert not any(each.any() for each in copied(x).values())
    assert all(torch.equal(group(x)[name], each) for name, each in before.items())


@pytest.mark.parametrize("kind", GROUPS)
def test_a_group_is_of_one_structure_and_of_different_names(kind):
    with pytest.raises(ValueError, match="must have names that differ, at least one, but are"):
        kind([])
    with pytest.raises(ValueError, match="must have names that differ"):
        kind([SimpleTower("a", 4), SimpleTower("a", 4)])
    with pytest.raises(ValueError, match="must be of one structure, but b differ from a"):
        kind([SimpleTower("a", 4), SimpleTower("b", 5)])
    hooked = SimpleTower("a", 4)
    hooked.register_forward_hook(print)
    with pytest.raises(UnbatchableError, match="has hooks"):
        kind([hooked, SimpleTower("b", 4)])


def test_the_operations_of_a_group_can_be_read():
    group = WidePrimitiveTowerGroup(towers())
    assert "tower_stages_0_fc1_ = self.tower_stages_0_fc1_(values, streams, x)" in group.graph.code
    assert group.coverage() == {"fused": 12, "vmap": 0, "shared": 0, "share": 1.0}


class Images(TorchComponent):
    """Convolutions of all kinds, on images that all towers share at first."""

    def __init__(self, name, dims, groups, padding_mode="zeros"):
        super().__init__(name)
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        self.first = kind(4, 4, 3, padding=1, groups=groups, padding_mode=padding_mode)
        self.second = kind(4, 6, 2, stride=2, dilation=1, groups=groups, bias=False)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_convolutions(dims, groups, mode, batch):
    made = [Images(f"t{at}", dims, groups, mode).double() for at in range(3)]
    x = inputs((*batch, 4, *(5,) * dims)).requires_grad_()
    found = WidePrimitiveTowerGroup(made)(x)
    for tower in made:
        wanted = tower(x)
        torch.testing.assert_close(found[tower.name], wanted)
        a, b = (
            torch.autograd.grad(y.square().sum(), (x, *tower.parameters()), retain_graph=True)
            for y in (found[tower.name], wanted)
        )
        torch.testing.assert_close(a, b)


class Various(TorchComponent):
    """Functions, methods and indexing that have no operation of their own for many towers."""

    def __init__(self, name):
        super().__init__(name)
        self.rows = nn.Parameter(torch.randn(3, 4))
        self.map = nn.Linear(4, 4)
        self.embed = nn.Embedding(5, 4)
        self.register_buffer("shift", torch.randn(4))

    def forward(self, x):
        y = torch.cat([self.map(x), x * self.rows[0], x.add(self.shift, alpha=2)], -1)
        y = y.view(x.shape[0], 3, -1).transpose(0, 1).softmax(dim=0)
        count = y.size(1) + y.dim() + y.ndim
        return {"y": y.mean((0,)) @ self.rows.mT[:, :2], "e": self.embed.weight[1:].sum() * count, "n": None}


@pytest.mark.parametrize("kind", [VMapTowerGroup, WidePrimitiveTowerGroup])
def test_what_has_no_operation_of_its_own_is_vectorised(kind):
    made, x = [Various(f"t{at}").double() for at in range(3)], inputs((2, 4))
    group = kind(made)
    found = group(x)
    for tower in made:
        torch.testing.assert_close(found[tower.name], tower(x))
    if kind is WidePrimitiveTowerGroup:
        assert group.coverage()["vmap"] > 3


def test_two_ways_mix_to_what_each_gives_and_their_weights_learn_nothing():
    group, x = SubEnsembleGroup(towers()), inputs((3, 4))
    with torch.no_grad():
        group.weights.copy_(torch.tensor([2.0, -1.0]))
    found = group(x)
    sum(each.sum() for each in found.values()).backward()
    torch.testing.assert_close(found, group.wide(x))
    assert group.weights.grad.abs().max() < 1e-10


def test_two_ways_drop_the_same():
    group = SubEnsembleGroup([SimpleTower(f"t{at}", 4, dropout=0.5).double() for at in range(2)])
    found = []
    for each in (group, group.wide):
        torch.manual_seed(0)
        found.append(each(inputs((3, 4))))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("kinds", [["dropping", "dropping", "tied"], ["normed", "normed"]])
def test_a_collective_mixes_the_ways_of_those_groups_that_have_both(kinds):
    base, x = collective(kinds, 4), inputs((3, 4))
    router = with_strategy(base, BATCHED[0])
    before = list(router.state_dict())
    assert router.build_sub_ensembles() == ["tower_0"]
    assert [name for name in router.state_dict() if name not in before] == ["ensemble_weights.tower_0"]
    router.wide_forward, wide = router.wide_forward_ensemble, router.wide_forward
    found, wanted = passed(router, x, passes=4), passed(base, x, passes=4)
    assert "grad ensemble_weights.tower_0" in found
    assert all(torch.allclose(found[name], each, atol=1e-10) for name, each in wanted.items())
    assert wide(x).keys() == base.wide_forward(x).keys()
