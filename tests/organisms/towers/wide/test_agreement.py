"""Every strategy gives what the towers give one by one: opinions, gradients, buffers, caches, and training."""

import copy
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from organisms.towers import BaseTower, ExecutionStrategy, WideRouter
from tests.organisms.towers.wide.shapes import (
    BATCHED,
    KINDS,
    cases,
    collective,
    inputs,
    passed,
    with_strategy,
)


def assert_the_same(found, wanted, tolerance):
    assert found.keys() == wanted.keys()
    for name, each in wanted.items():
        scale = max(float(each.abs().max()), 1.0) if each.numel() else 1.0
        torch.testing.assert_close(
            found[name] / scale,
            each / scale,
            rtol=0,
            atol=tolerance,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def used(router):
    return {group["used"] for group in router.get_wide_stats()["groups"] if len(group["towers"]) > 1}


@pytest.mark.parametrize("strategy", BATCHED)
@settings(max_examples=40)
@given(case=cases())
def test_strategies_agree_with_one_by_one(strategy, case):
    kinds, shape, frozen = case
    base, x = collective(kinds, shape[-1], frozen=frozen), inputs(shape)
    other = with_strategy(base, strategy)
    assert_the_same(passed(other, x), passed(base, x), 1e-10)
    assert used(other) <= {strategy.value}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("strategy", BATCHED)
def test_they_agree_in_float32_and_are_really_used(strategy, kind):
    base, x = collective([kind] * 3, 6, torch.float32), inputs((5, 3, 6), torch.float32)
    other = with_strategy(base, strategy)
    assert_the_same(passed(other, x), passed(base, x), 1e-5)
    assert used(other) == {strategy.value}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("strategy", BATCHED)
def test_they_agree_in_evaluation_too(strategy, kind):
    base, x = collective([kind] * 3, 4).eval(), inputs((5, 2, 4))
    other = with_strategy(base, strategy)
    with torch.no_grad():
        for _ in range(2):
            found, wanted = other.wide_forward(x), base.wide_forward(x)
    assert_the_same(found, wanted, 1e-10)
    assert used(other) == {strategy.value}


def test_one_by_one_is_calling_each_tower():
    base, x = collective(["plain", "normed", "plain"], 4), inputs((3, 4))
    towers = copy.deepcopy(base.towers)
    found = base.wide_forward(x)
    assert list(found) == ["tower_0", "tower_1", "tower_2"]
    for name, tower in towers.items():
        assert torch.equal(found[name], tower(x))


@pytest.mark.parametrize("strategy", [*BATCHED, ExecutionStrategy.AUTO])
@pytest.mark.long
def test_a_hundred_steps_end_at_the_same_weights(strategy):
    """An optimizer made before the first pass follows the stack; batch norms and dropout are in it."""
    base = collective(["dropping", "normed", "dropping", "normed", "tied", "tied"], 4)
    x, wanted = inputs((7, 4)), inputs((7, 4), seed=1)
    ends = []
    for router in (base, with_strategy(base, strategy)):
        optimizer = torch.optim.AdamW(router.parameters(), lr=0.01)
        source = torch.Generator().manual_seed(3)
        for _ in range(100):
            optimizer.zero_grad()
            loss = sum((each - wanted).square().mean() for each in router.wide_forward(x, source).values())
            loss.backward()
            optimizer.step()
        ends.append(router.state_dict())
    assert_the_same(ends[1], ends[0], 1e-8)


def test_dropout_differs_between_towers_and_comes_from_the_generator():
    router = collective(["dropping"] * 3, 8, strategy=ExecutionStrategy.VMAP)
    for each in router.towers.values():
        each.load_state_dict(router["tower_0"].state_dict())
    x = inputs((6, 8))

    def opinions(seed):
        return list(router.wide_forward(x, torch.Generator().manual_seed(seed)).values())

    first, again, other = opinions(0), opinions(0), opinions(1)
    assert all(torch.allclose(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.allclose(first[0], other[0])
    assert not torch.allclose(first[0], first[1])
    torch.manual_seed(5)
    drawn = router.wide_forward(x)["tower_0"]
    torch.manual_seed(5)
    assert torch.equal(router.wide_forward(x)["tower_0"], drawn)


def test_mixed_groups_are_each_computed_by_themselves():
    router = collective(
        ["plain", "tied", "plain", "nested", "tied"], 4, strategy=ExecutionStrategy.WIDE_COMPILER
    )
    passed(router, inputs((3, 4)))
    groups = router.get_wide_stats()["groups"]
    assert [group["towers"] for group in groups] == [
        ["tower_0", "tower_2"],
        ["tower_1", "tower_4"],
        ["tower_3"],
    ]
    assert Counter(group["used"] for group in groups) == {"wide_compiler": 2, "sequential": 1}
    assert groups[2]["reasons"]["vmap"] == "no other tower has its structure"


@pytest.mark.parametrize("strategy", BATCHED)
def test_training_may_follow_inference(strategy):
    base, x = collective(["normed"] * 2, 4), inputs((3, 4))
    other = with_strategy(base, strategy)
    for router in (base, other):
        with torch.inference_mode():
            for _ in range(2):
                router.wide_forward(x)
    assert_the_same(passed(other, x), passed(base, x), 1e-10)
    assert used(other) == {strategy.value}


@pytest.mark.parametrize("kind", ["plain", "attentive", "normed"])
@pytest.mark.parametrize("strategy", BATCHED)
def test_they_agree_under_autocast(strategy, kind):
    base, x = collective([kind] * 2, 8, torch.float32), inputs((5, 3, 8), torch.float32)
    other = with_strategy(base, strategy)
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = passed(other, x), passed(base, x)
    assert found.keys() == wanted.keys()
    assert [each.dtype for each in found.values()] == [each.dtype for each in wanted.values()]
    found, wanted = ({name: t.float() for name, t in each.items()} for each in (found, wanted))
    assert_the_same(found, wanted, 0.05)


class Resting(BaseTower):
    """A tower of which a part is not to learn."""

    def __init__(self, name):
        super().__init__(name)
        self.attach("read", nn.Linear(4, 4, dtype=torch.float64))
        self.attach("write", nn.Linear(4, 4, dtype=torch.float64))

    def forward(self, x):
        with torch.no_grad():
            y = self["read"](x)
        return x + self["write"](y)


@pytest.mark.parametrize("strategy", BATCHED)
def test_gradients_that_a_tower_switches_off_stay_off(strategy):
    base, x = WideRouter("wide", execution_strategy="sequential"), inputs((3, 4))
    for at in range(2):
        base.attach(f"tower_{at}", Resting(f"tower_{at}"))
    other = with_strategy(base, strategy)
    assert_the_same(passed(other, x), passed(base, x), 1e-10)
    (group,) = other.get_wide_stats()["groups"]
    assert group["used"] == "vmap"
    assert group["reasons"].get("wide_compiler") in (None, "its forward pass switches gradients on or off")


class Wavering(Resting):
    """A tower that draws what it does."""

    def forward(self, x):
        return self["read"](x) if self.source() < 0.5 else self["write"](x)

    def source(self):
        return random.random()


class WaveringByTorch(Wavering):
    def source(self):
        return torch.rand(()).item()


class WaveringByNumpy(Wavering):
    def source(self):
        return np.random.rand()  # noqa: NPY002


@pytest.mark.parametrize("kind", [Wavering, WaveringByTorch, WaveringByNumpy])
@pytest.mark.parametrize("strategy", BATCHED)
def test_towers_that_draw_what_they_do_draw_each_for_itself(strategy, kind):
    base, x = WideRouter("wide", execution_strategy="sequential"), inputs((3, 4))
    for at in range(2):
        base.attach(f"tower_{at}", kind(f"tower_{at}"))
    other, found = with_strategy(base, strategy), []
    for router in (other, base):
        random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
        found.append([router.wide_forward(x) for _ in range(6)])
    torch.testing.assert_close(*found)
    (group,) = other.get_wide_stats()["groups"]
    assert group["used"] == "sequential"
    assert group["reasons"]["vmap"].startswith(("its forward pass draws random numbers", "vmap: "))


class Asking(Resting):
    """A tower of which a graph has other gradients: it asks whether its input is a tensor."""

    def forward(self, x):
        y = self["read"](x)
        return y.detach() + (y - y.detach()) / 2 if isinstance(y, torch.Tensor) else y


class Normed(torch.autograd.Function):
    """What a graph takes for its forward pass alone: its gradient is of length 1."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * 1

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return grad / grad.norm()


class Normalising(Resting):
    """A tower with a gradient of its own making."""

    def forward(self, x):
        return Normed.apply(self["read"](x))


@pytest.mark.parametrize("kind", [Asking, Normalising])
def test_gradients_are_proven_too(kind):
    base, x = WideRouter("wide", execution_strategy="sequential"), inputs((3, 4))
    for at in range(2):
        base.attach(f"tower_{at}", kind(f"tower_{at}"))
    other = with_strategy(base, ExecutionStrategy.WIDE_COMPILER)
    assert_the_same(passed(other, x, passes=3), passed(base, x, passes=3), 1e-10)
    (group,) = other.get_wide_stats()["groups"]
    assert group["used"] == "vmap"
    assert group["reasons"] == {"wide_compiler": "its gradients differ from those of the towers one by one"}
