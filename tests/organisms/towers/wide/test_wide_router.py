"""Registration, grouping, reasons for falling back, and what a collective promises to optimizers and files."""

import copy
import gc
from collections import deque

import pytest
import torch
from torch import nn

from organisms.towers import BaseTower, ExecutionStrategy, TorchComponent, WideRouter
from tests.organisms.towers.blocks import CachingTower, FFNBlock, SimpleTower
from tests.organisms.towers.wide.shapes import BATCHED, collective, inputs, passed, with_strategy

VMAP, WIDE = BATCHED


def of(make, strategy=VMAP, number=3):
    """A collective of towers that `make` makes of a name, and an opinion of each on the second pass."""
    router = WideRouter("wide", execution_strategy=strategy)
    for at in range(number):
        router.attach(f"tower_{at}", make(f"tower_{at}"))
    return router.double()


def reasons(router, x):
    """Why a strategy was not used; the opinions are those of the towers one by one."""
    towers = copy.deepcopy(router.towers)
    for _ in range(3):
        found = router.wide_forward(x)
        for name, tower in towers.items():
            torch.testing.assert_close(found[name], tower(x))
    (group,) = router.get_wide_stats()["groups"]
    assert group["used"] == "sequential"
    return " / ".join(group["reasons"].values())


class Odd(SimpleTower):
    """A tower whose forward pass does something that the towers of a batch cannot do together."""

    def __init__(self, name, act):
        super().__init__(name, 4, depth=1)
        self.act, self.count = act, 0
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x):
        return self.act(self, super().forward(x))


def branches(tower, y):
    return y if y.sum() > 0 else -y


def counts(tower, y):
    tower.count += 1
    return y * tower.count


def averages(tower, y):
    tower.mean = 0.9 * tower.mean + y.detach().mean()  # another tensor in place of the buffer
    return y + tower.mean


def remembers(tower, y):
    before = tower.cache_get("y", 0.0)
    tower.cache_set("y", y.detach())
    return y + before


def numbers(tower, y):
    return y * float(y.detach().max())


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (branches, "data-dependent control flow"),
        (counts, "changes attributes of the tower"),
        (averages, "changes attributes of the tower"),
        (remembers, "reads 'y' from the cache of an earlier one"),
        (numbers, "item"),
    ],
)
@pytest.mark.parametrize("strategy", BATCHED)
def test_what_towers_cannot_do_together_they_do_one_by_one(strategy, act, reason):
    assert reason in reasons(of(lambda name: Odd(name, act), strategy), inputs((3, 4)))


@pytest.mark.parametrize("strategy", BATCHED)
def test_buffers_that_are_replaced_are_those_of_towers_one_by_one(strategy):
    router, x = of(lambda name: Odd(name, averages), strategy), inputs((3, 4))
    towers = copy.deepcopy(router.towers)
    for _ in range(5):
        found = router.wide_forward(x)
        for name, tower in towers.items():
            torch.testing.assert_close(found[name], tower(x))
            torch.testing.assert_close(router[name].mean, tower.mean)
    assert len(router._plans) == 1  # what is known is kept


class Mailbox(TorchComponent):
    bookkeeping = frozenset({"inbox"})

    def __init__(self, name):
        super().__init__(name)
        self.inbox = deque(maxlen=2)


def reads(tower, y):
    return y + len(tower["mail"].inbox)


@pytest.mark.parametrize("strategy", BATCHED)
def test_bookkeeping_keeps_towers_together_unless_it_is_read(strategy):
    def make(name, act=lambda _, y: y):
        tower = Odd(name, act)
        tower.attach("mail", Mailbox(name))
        return tower

    x = inputs((3, 4))
    router = of(make, strategy)
    for _ in range(3):
        for name, opinion in router.wide_forward(x).items():
            router[name]["mail"].inbox.append(opinion)
    assert router.get_wide_stats()["groups"][0]["used"] == strategy.value
    read = of(lambda name: make(name, reads), strategy)
    for at, tower in enumerate(read.towers.values()):
        tower["mail"].inbox.append(at)
    assert "no attribute 'inbox'" in reasons(read, x)


def distrusts(tower, y):
    return (
        y if isinstance(y, torch.Tensor) else -y
    )  # what stands for a tensor while operations are listed is none


def test_a_graph_that_computes_something_else_is_found_out():
    router = of(lambda name: Odd(name, distrusts), WIDE)
    towers, x = copy.deepcopy(router.towers), inputs((3, 4))
    for _ in range(3):
        found = router.wide_forward(x)
        for name, tower in towers.items():
            torch.testing.assert_close(found[name], tower(x))
    (group,) = router.get_wide_stats()["groups"]
    assert "differ from those of the towers one by one" in group["reasons"]["wide_compiler"]
    assert group["used"] == "vmap"


def noisy(tower, y):
    return y + torch.rand(y.shape, dtype=y.dtype)


def test_noise_that_nobody_announces_is_drawn_one_by_one():
    router = of(lambda name: Odd(name, noisy), WIDE)
    for _ in range(3):
        torch.manual_seed(0)
        found = router.wide_forward(inputs((3, 4)))
    torch.manual_seed(0)
    for name, tower in router.towers.items():
        assert torch.equal(found[name], tower(inputs((3, 4))))
    assert "random" in router.get_wide_stats()["groups"][0]["reasons"]["vmap"]


def test_hooks_see_each_tower():
    router, seen = of(lambda name: SimpleTower(name, 4)), []
    for name, tower in router.towers.items():
        tower[0].register_forward_hook(lambda *_, name=name: seen.append(name))
    assert "has hooks, which want to see each tower" in reasons(router, inputs((3, 4)))
    assert set(seen) == {"tower_0", "tower_1", "tower_2"}


def test_a_hook_that_comes_later_is_noticed():
    router, seen = of(lambda name: SimpleTower(name, 4)), []
    passed(router, inputs((3, 4)))
    handle = router["tower_1"].register_forward_hook(lambda *_: seen.append(1))
    router.wide_forward(inputs((3, 4)))
    assert seen == [1]
    handle.remove()
    passed(router, inputs((3, 4)))
    assert router.get_wide_stats()["groups"][0]["used"] == "vmap"


def test_tensors_outside_of_parameters_and_buffers_are_no_part_of_a_stack():
    router = of(lambda name: SimpleTower(name, 4))
    for tower in router.towers.values():
        tower[0].loose = [torch.ones(4)]
    assert "stages.0 (FFNBlock) keeps a tensor in loose" in reasons(router, inputs((3, 4)))


def test_a_wide_router_in_a_tower_batches_by_itself():
    class Outer(BaseTower):
        def forward(self, x):
            return sum(self["inner"].wide_forward(x).values())

    def make(name):
        outer = Outer(name)
        outer.attach("inner", of(lambda inner: SimpleTower(inner, 4)))
        return outer

    assert "components.inner (WideRouter) batches towers itself" in reasons(of(make), inputs((3, 4)))


def test_weights_tied_between_towers():
    """All towers share one norm; two of three share a map, which no stack can hold."""
    x = inputs((3, 4))
    router, norm = of(lambda name: SimpleTower(name, 4)), nn.LayerNorm(4).double()
    for tower in router.towers.values():
        tower.components["norm"] = norm
    for strategy in BATCHED:
        other = with_strategy(router, strategy)
        wanted, found = passed(with_strategy(router, ExecutionStrategy.SEQUENTIAL), x), passed(other, x)
        assert other.get_wide_stats()["groups"][0]["used"] == strategy.value
        assert all(torch.allclose(found[name], each, atol=1e-10) for name, each in wanted.items())
    router["tower_1"][0].fc1.weight = router["tower_0"][0].fc1.weight
    assert "stages.0.fc1.weight is shared with other towers" in reasons(router, x)


def test_a_wrong_input_is_the_towers_error_and_blocks_nothing():
    router = of(lambda name: SimpleTower(name, 4), WIDE)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            router.wide_forward(inputs((3, 5)))
        passed(router, inputs((3, 4)))
    group = router.get_wide_stats()["groups"][0]
    assert (group["used"], group["reasons"]) == ("wide_compiler", {})


def evaluate(tower):
    tower.eval()


def calm(tower):
    tower[0].drop.p = 0.1


def replace(tower):
    tower[0].fc1.weight = nn.Parameter(tower[0].fc1.weight.detach() * 2)


def swap(tower):
    tower[0].act = nn.Tanh()


def widen(tower):
    tower.append(FFNBlock("more", 4).double())
    tower[-1].load_state_dict(tower[0].state_dict())


@pytest.mark.parametrize("change", [evaluate, calm, replace, swap, widen])
@pytest.mark.parametrize("strategy", BATCHED)
def test_changes_of_mode_setting_and_structure_are_noticed(strategy, change):
    router = of(lambda name: SimpleTower(name, 4, dropout=0.5), strategy)
    one_by_one, x = with_strategy(router, ExecutionStrategy.SEQUENTIAL), inputs((3, 4))
    passed(router, x)
    for each in (router, one_by_one):
        change(each["tower_1"])
    for passes in (1, 2):
        found, wanted = passed(router, x, passes), passed(one_by_one, x, passes)
        assert found.keys() == wanted.keys()
        assert all(torch.allclose(found[name], each, atol=1e-10) for name, each in wanted.items())


def test_the_parameters_are_views_of_one_stack_and_stay_the_leaves():
    router = of(lambda name: SimpleTower(name, 4), WIDE)
    before = dict(router.named_parameters())
    passed(router, inputs((3, 4)))
    after = dict(router.named_parameters())
    assert all(after[name] is each and each.is_leaf for name, each in before.items())
    weights = [tower[0].fc1.weight for tower in router.towers.values()]
    assert len({each.untyped_storage().data_ptr() for each in weights}) == 1
    assert all(each.grad is not None for each in weights)
    places = [each.data_ptr() for each in weights]
    for mode in (router.eval, router.train):
        passed(mode(), inputs((3, 4)))
        assert [each.data_ptr() for each in weights] == places  # nothing is stacked anew


@pytest.mark.parametrize("strategy", BATCHED)
def test_state_dict_keeps_the_towers_names_and_round_trips(strategy):
    x = inputs((3, 4))
    plain, router = collective(["normed"] * 3, 4), collective(["normed"] * 3, 4, strategy=strategy)
    names = list(plain.state_dict())
    passed(router, x)
    with torch.no_grad():
        for each in router.parameters():
            each.add_(0.1)  # as an optimizer does
    assert list(router.state_dict()) == names
    plain.load_state_dict(router.state_dict())
    other = collective(["normed"] * 3, 4, strategy=strategy)
    passed(other, x)
    other.load_state_dict(copy.deepcopy(router.state_dict()))
    wanted = {name: tower(x) for name, tower in plain.towers.items()}
    for each in (router, other):
        found = each.wide_forward(x)
        assert all(torch.allclose(found[name], opinion) for name, opinion in wanted.items())


@pytest.mark.parametrize("strategy", BATCHED)
def test_a_copy_is_independent(strategy):
    router, x = collective(["plain"] * 3, 4, strategy=strategy), inputs((3, 4))
    before = passed(router, x)
    copied = copy.deepcopy(router)
    with torch.no_grad():
        for each in copied.parameters():
            each.zero_()
    found = copied.wide_forward(x)
    assert not any(each.any() for each in found.values())
    again = router.wide_forward(x)
    for name in router.tower_names:  # but for last bits, which can depend on where in memory an input lies
        torch.testing.assert_close(again[name], before[f"opinion {name}"])


@pytest.mark.parametrize("strategy", BATCHED)
def test_towers_may_be_moved_together_or_alone(strategy):
    router, x = collective(["plain"] * 3, 4, strategy=strategy), inputs((3, 4))
    wanted = passed(router, x)
    router.to(torch.float32)
    assert passed(router, x.float())["opinion tower_0"].dtype == torch.float32
    router["tower_1"].to(torch.float64)
    with pytest.raises(RuntimeError, match="dtype"):
        router.wide_forward(x)
    assert router["tower_0"][0].fc1.weight.dtype == torch.float32  # nothing is moved behind one's back
    assert router.prepare_for_compile()["groups"] == [["tower_0", "tower_2"], ["tower_1"]]
    found = passed(router.network_to(dtype=torch.float64), x)
    assert all(torch.allclose(found[name].double(), each, atol=1e-5) for name, each in wanted.items())


def test_towers_that_are_moved_apart_are_grouped_anew():
    class Casting(SimpleTower):
        def forward(self, x):
            return super().forward(x.to(self[0].fc1.weight.dtype))

    router, x = of(lambda name: Casting(name, 4)), inputs((3, 4))
    passed(router, x)
    router["tower_1"].to(torch.float32)
    dtypes = [[each.dtype for each in router.wide_forward(x).values()] for _ in range(3)]
    assert dtypes == [[torch.float64, torch.float32, torch.float64]] * 3
    assert [group["towers"] for group in router.get_wide_stats()["groups"]] == [
        ["tower_0", "tower_2"],
        ["tower_1"],
    ]
    assert router.get_wide_stats()["groups"][0]["used"] == "vmap"


def test_a_parameter_changed_between_forward_and_backward_is_an_error_as_without_a_stack():
    router, x = collective(["plain"] * 3, 4, strategy=WIDE), inputs((3, 4))
    passed(router, x)
    opinions = router.wide_forward(x)
    with torch.no_grad():
        router["tower_1"][0].fc1.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        opinions["tower_0"].sum().backward()


def test_second_derivatives_flow_through_the_stack():
    x = inputs((3, 4))
    found = []
    for strategy in (ExecutionStrategy.SEQUENTIAL, WIDE):
        router = collective(["plain"] * 2, 4, strategy=strategy)
        passed(router, x)
        weight = router["tower_0"][0].fc1.weight
        (grad,) = torch.autograd.grad(
            router.wide_forward(x)["tower_0"].square().sum(), weight, create_graph=True
        )
        found.append(torch.autograd.grad(grad.square().sum(), weight)[0])
    torch.testing.assert_close(*found)


@pytest.mark.long
@pytest.mark.parametrize("strategy", list(ExecutionStrategy))
def test_training_needs_no_more_memory_with_every_step(strategy):
    router = of(lambda name: CachingTower(name, 4), strategy)
    optimizer, x, counts = torch.optim.SGD(router.parameters(), lr=0.01), inputs((3, 4)), []
    for step in range(200):
        optimizer.zero_grad()
        sum(each.square().mean() for each in router.wide_forward(x).values()).backward()
        optimizer.step()
        if step in (5, 199):
            gc.collect()
            counts.append(sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects()))
    assert counts[0] == counts[1]
    assert len(router.cache_debug()) == 3
    router.clear_tower_caches()
    assert router.cache_debug() == {}


def test_towers_are_registered_when_they_are_attached_or_asked_for():
    router = WideRouter("wide", auto_discover=False)
    assert (router.get_wide_stats()["groups"], router.get_fusion_coverage()) == ([], {})
    with pytest.raises(ValueError, match="'wide' has no registered tower: attach some"):
        router.wide_forward(inputs((3, 4)))
    for name in ("a", "b"):
        router.attach(name, SimpleTower(name, 4).double())
    router.attach("norm", nn.LayerNorm(4))
    with pytest.raises(ValueError, match=r"no registered tower, but a, b attached: call discover_towers\(\)"):
        router.wide_forward(inputs((3, 4)))
    router.register_tower("b")
    assert list(router.wide_forward(inputs((3, 4)))) == ["b"]
    assert router.discover_towers() == router.tower_names == ["b", "a"]
    router.unregister_tower("b")
    assert list(router.wide_forward(inputs((3, 4)))) == ["a"]
    router.detach("a")
    assert router.tower_names == []
    with pytest.raises(ValueError, match="has no tower 'bb': attach it first; did you mean 'b'"):
        router.register_tower("bb")
    with pytest.raises(ValueError, match="'norm' of router 'wide' is no BaseTower, but a LayerNorm"):
        router.register_tower("norm")
    with pytest.raises(ValueError, match="has not registered a tower 'b', but none"):
        router.unregister_tower("b")


@pytest.mark.parametrize("strategy", BATCHED)
def test_a_tower_that_is_exchanged_in_components_is_noticed(strategy):
    router, x = of(lambda name: SimpleTower(name, 4), strategy), inputs((3, 4))
    passed(router, x, passes=3)
    router.components["tower_1"] = SimpleTower("tower_1", 4).double()
    for _ in range(3):
        for name, opinion in router.wide_forward(x).items():
            torch.testing.assert_close(opinion, router[name](x))
    taken = router.components.pop("tower_1")
    with pytest.raises(ValueError, match="router 'wide' has no tower 'tower_1': attach it first"):
        router.wide_forward(x)
    router.components["tower_1"] = nn.Linear(4, 4)
    with pytest.raises(ValueError, match="'tower_1' of router 'wide' is no BaseTower, but a Linear"):
        router.wide_forward(x)
    router.components["tower_1"] = taken
    torch.testing.assert_close(router.wide_forward(x)["tower_1"], taken(x))


def test_a_strategy_is_known():
    with pytest.raises(
        ValueError, match=r"execution_strategy must be one of sequential, vmap, .* did you mean 'vmap'"
    ):
        WideRouter("wide", execution_strategy="vmpa")
    router = WideRouter("wide", execution_strategy="auto")
    assert router.execution_strategy is ExecutionStrategy.AUTO
    router.execution_strategy = "vmap"
    assert router.execution_strategy is VMAP
    with pytest.raises(ValueError, match=r"execution_strategy must be one of .* but is 'fast'"):
        router.execution_strategy = "fast"
    assert router.execution_strategy is VMAP


def test_preparing_groups_the_towers_and_may_change_the_strategy():
    router = collective(["plain", "deep", "plain", "deep"], 4)
    found = router.prepare_for_compile(execution_strategy="wide_compiler")
    assert found == {"groups": [["tower_0", "tower_2"], ["tower_1", "tower_3"]], "reasons": {}}
    assert router.execution_strategy is WIDE
    assert "strategy=wide_compiler, towers=4" in repr(router)


class Collective(WideRouter):
    def forward(self, x):
        return torch.stack(list(self.wide_forward(x).values())).mean(0)


def test_stats_and_coverage_name_what_is_fused():
    router = collective(["attentive"] * 2 + ["plain"] * 2, 4, strategy=WIDE)
    assert set(router.get_fusion_coverage().values()) == {None}
    passed(router, inputs((2, 3, 4)))
    coverage = router.get_fusion_coverage()
    assert coverage["tower_2, tower_3"] == {"fused": 11, "vmap": 0, "shared": 0, "share": 1.0}
    assert coverage["tower_0, tower_1"]["vmap"] > 0
    stats = router.get_wide_stats()
    assert (stats["towers"], stats["wide_primitive_groups"], stats["sub_ensembles"]) == (4, 2, 0)
    assert stats["execution_strategy"] == "wide_compiler"
