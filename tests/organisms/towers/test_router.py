import copy

import pytest
import torch
from torch import nn

from organisms.towers import BaseComponent, BaseRouter, TorchComponent, WideRouter
from tests.organisms.towers.blocks import CachingTower, SimpleTower


@pytest.fixture
def tree():
    """A router that holds a tower, which holds another in a plain module."""
    root, tower = BaseRouter("root"), CachingTower("outer", 4)
    tower.attach("plain", nn.Sequential(CachingTower("inner", 4)))
    root.attach("tower", tower)
    return root


def filled(tree):
    for at, (_, router) in enumerate(tree.routers()):
        router.cache_set("features", torch.ones(2, at + 1))
    return tree


class Refusing(TorchComponent):
    def on_attach(self, parent):
        raise RuntimeError(f"not in {parent.name}")


def test_what_does_not_want_to_be_attached_is_not():
    router, inner = BaseRouter("router"), Refusing("inner")
    for attach in (router.attach, WideRouter("wide").attach):
        with pytest.raises(RuntimeError, match="not in"):
            attach("inner", inner)
    assert (list(router.components), inner.parent) == ([], None)


def test_stages_are_added_together_or_not_at_all():
    class Told(TorchComponent):
        told = ()

        def on_attach(self, parent):
            self.told = (*self.told, "attached")

        def on_detach(self):
            self.told = (*self.told, "detached")

    tower, first, second, third = SimpleTower("tower", 4), Told("first"), Refusing("second"), Told("third")
    with pytest.raises(RuntimeError, match="not in tower"):
        tower.extend([first, second, third])
    assert (len(tower), first.parent, second.parent) == (2, None, None)
    assert (first.told, third.told) == (("attached", "detached"), ())


def test_modules_are_components_and_the_rest_objects():
    router = BaseRouter("router")
    router.attach("linear", nn.Linear(2, 3))
    router.attach("config", {"dropout": 0.1})
    router.objects["names"] = ["a", "b"]
    assert (list(router.components), list(router.objects)) == (["linear"], ["config", "names"])
    assert (router["linear"].out_features, router["config"]["dropout"], len(router)) == (3, 0.1, 1)
    assert list(router) == [router["linear"]]
    assert list(router.state_dict()) == ["components.linear.weight", "components.linear.bias"]
    assert router.detach("config") == {"dropout": 0.1}
    assert "config" not in router
    assert BaseRouter("empty")


@pytest.mark.parametrize("name", ["", "a.b", 3])
def test_names_that_no_module_can_have_are_refused(name):
    with pytest.raises(ValueError, match="must be a text without dots"):
        BaseRouter("router").attach(name, 1)


def test_a_name_is_given_once():
    router = BaseRouter("router")
    router.attach("a", 1)
    with pytest.raises(ValueError, match="holds a 'a' already: detach it first"):
        router.attach("a", nn.Identity())
    with pytest.raises(ValueError, match="must not be 'values'"):
        router.attach("values", nn.Identity())


def test_an_unknown_name_lists_the_known_ones():
    router = BaseRouter("router")
    router.attach("norm", nn.Identity())
    with pytest.raises(KeyError, match="holds no 'nrom', but norm; did you mean 'norm'"):
        router["nrom"]
    with pytest.raises(KeyError, match="holds no 'norms'"):
        router.detach("norms")


def test_no_router_holds_itself(tree):
    with pytest.raises(ValueError, match="'outer' must not be attached to itself"):
        tree["tower"].attach("root", tree)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (torch.ones(1), r"cache_set\(name, tensor\)"),
        ([1, {"a": torch.ones(1)}], r"cache_set\(name, tensor\)"),
        (nn.Parameter(torch.ones(1)), r"by attach\(name, module\)"),
        ({"layer": nn.Identity()}, r"by attach\(name, module\)"),
    ],
)
def test_objects_hold_no_tensors_and_say_where_they_belong(value, where):
    router = BaseRouter("router")
    for keep in (
        router.objects.__setitem__,
        router.objects.setdefault,
        lambda k, v: router.objects.update({k: v}),
    ):
        with pytest.raises(TypeError, match=where):
            keep("features", value)
    assert not router.objects


def test_a_tensor_cannot_be_attached():
    with pytest.raises(TypeError, match="must hold no tensor, which would never be freed"):
        BaseRouter("router").attach("features", torch.ones(1))


def test_a_cache_holds_tensors_until_it_is_cleared():
    router = BaseRouter("router")
    router.cache_set("a", torch.ones(2, 3))
    router.cache_set("b", torch.ones(4, dtype=torch.float64))
    assert (router.cache_keys(), router.cache_size_bytes()) == (["a", "b"], 2 * 3 * 4 + 4 * 8)
    router.cache_to(dtype=torch.float16)
    assert router.cache_get("b").dtype == torch.float16
    assert router.state_dict() == {}
    router.cache_clear()
    assert (router.cache_get("a"), router.cache_get("a", 7), router.cache_keys()) == (None, 7, [])
    with pytest.raises(TypeError, match="the cache of 'router' holds tensors, but 'a' is a list"):
        router.cache_set("a", [1])


def test_the_caches_of_a_tree_are_moved_shown_and_cleared_together(tree):
    filled(tree).cache_to_recursive(dtype=torch.float64)
    shown = tree.cache_debug()
    assert list(shown) == ["root", "root.components.tower", "root.components.tower.components.plain.0"]
    assert shown["root.components.tower"]["features"] == {
        "shape": (2, 2),
        "dtype": torch.float64,
        "device": torch.device("cpu"),
        "bytes": 32,
    }
    assert next(iter(tree.cache_debug("model"))) == "model"
    tree["tower"].cache_clear()
    assert list(tree.cache_debug()) == ["root", "root.components.tower.components.plain.0"]
    tree.cache_clear_recursive()
    assert tree.cache_debug() == {}


def test_a_reset_reaches_every_component_below(tree):
    class Mailbox(TorchComponent):
        emptied = 0

        def reset(self):
            self.emptied += 1

    class Log(BaseComponent):
        def reset(self):
            self.lines = []

    mailbox, block, log = Mailbox("mailbox"), TorchComponent("block"), Log("log")
    tree["tower"]["plain"].append(mailbox)
    block.inner = CachingTower("inner", 4)
    tree.attach("block", block)
    tree["tower"].attach("log", log)
    filled(tree).reset()
    assert (tree.cache_debug(), mailbox.emptied, log.lines) == ({}, 1, [])


def test_to_leaves_caches_behind_and_says_so(tree):
    with pytest.warns(UserWarning, match="moves no cache, and root, outer, inner have tensors in theirs"):
        filled(tree).to("meta")
    assert tree.cache_debug()["root"]["features"]["device"].type == "cpu"


def test_to_says_which_components_may_not_be_there(tree):
    tree["tower"].attach("bound", TorchComponent("bound", allowed_devices=["cpu"]))
    with pytest.warns(
        UserWarning, match="moves bound to a device that they do not allow; network_to takes care"
    ):
        tree.to("meta")
    tree.strict = False
    tree.to("meta")


def test_network_to_clears_caches_and_makes_a_home(tree):
    bound = TorchComponent("bound", home_device="cpu", allowed_devices=["cpu"])
    tree["tower"].attach("bound", bound)
    assert filled(tree).network_to(device="meta", dtype=torch.float64) is tree
    assert tree.cache_debug() == {}
    assert {(each.device.type, each.dtype) for each in tree.parameters()} == {("meta", torch.float64)}
    assert (bound.home_device, bound.allows("cpu")) == (torch.device("meta"), True)
    assert set(filled(tree).network_to(dtype=torch.float32, clear_cache=False).cache_debug()) >= {"root"}


def test_a_copy_has_no_cache(tree):
    x = torch.ones(2, 4, requires_grad=True)
    tree["tower"](x)
    assert tree.cache_debug()
    copied = copy.deepcopy(tree)
    assert copied.cache_debug() == {}
    assert torch.equal(copied["tower"](x), tree["tower"](x))


@pytest.mark.long
def test_training_with_caches_needs_no_more_memory_with_every_step():
    """Tensors alive after a step are as many after 200 steps as after two."""
    import gc

    tower = CachingTower("tower", 4)
    optimizer = torch.optim.SGD(tower.parameters(), lr=0.01)
    x = torch.ones(2, 4)

    def alive():
        gc.collect()
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    counts = []
    for step in range(200):
        optimizer.zero_grad()
        tower(x).square().mean().backward()
        optimizer.step()
        if step in (1, 199):
            counts.append(alive())
    assert counts[0] == counts[1]
    assert list(tower.cache_debug()) == ["tower"]


def test_a_tower_has_a_default_forward():
    outer = SimpleTower("outer", 4)
    assert outer(torch.ones(2, 4)).shape == (2, 4)
