"""Fusions as stages of towers: these are vectorised by vmap, because a fusion asks what its opinions are."""

import pytest
import torch
from torch import nn

from organisms.towers import BaseTower, WideRouter
from organisms.towers.fusion.builder import STRATEGIES
from tests.organisms.towers.fusion.fusions import STRATEGY_NAMES, moved
from tests.organisms.towers.wide.shapes import BATCHED, inputs, passed, with_strategy
from tests.organisms.towers.wide.test_agreement import assert_the_same


class Weighing(BaseTower):
    """Two views of one input, fused."""

    def __init__(self, name, strategy):
        super().__init__(name)
        self.attach("view", nn.Linear(4, 4))
        self.append(STRATEGIES[strategy](f"{name}_fusion", 2, 4))

    def forward(self, x):
        return self[0](x, torch.tanh(self["view"](x)))


@pytest.mark.parametrize("way", BATCHED)
@pytest.mark.parametrize("strategy", STRATEGY_NAMES)
def test_towers_with_fusions_agree_and_say_why_their_operations_are_not_listed(strategy, way):
    base, x = WideRouter("wide", execution_strategy="sequential"), inputs((3, 4))
    for at in range(3):
        base.attach(f"tower_{at}", moved(Weighing(f"tower_{at}", strategy).double(), at))
    other = with_strategy(base, way)
    assert_the_same(passed(other, x), passed(base, x), 1e-10)
    (group,) = other.get_wide_stats()["groups"]
    assert group["used"] == "vmap"
    if way.value == "wide_compiler":
        assert (
            "its operations cannot be listed: ValueError: opinion_0 must be a dense torch.Tensor"
            in (group["reasons"]["wide_compiler"])
        )
