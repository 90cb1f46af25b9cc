"""Parameters that are given other numbers by their `data`, in the memory of the stack or beside it."""

import pytest
import torch
from torch import nn

from organisms.towers import BaseTower, TorchComponent, WideRouter
from tests.organisms.towers.wide.shapes import BATCHED, inputs


class Map(TorchComponent):
    def __init__(self, name):
        super().__init__(name)
        self.weight = nn.Parameter(torch.randn(4, 4, dtype=torch.float64))

    def forward(self, x):
        return x[..., : self.weight.shape[1]] @ self.weight.T


def turn(weight):
    weight.data = weight.data.T


def cut(weight):
    weight.data = weight.data[:2]


def narrow(weight):
    weight.data = weight.data[:, :3]


def replace(weight):
    weight.data = 2 * weight.data


@pytest.mark.parametrize("strategy", BATCHED)
@pytest.mark.parametrize("change", [turn, cut, narrow, replace])
def test_a_parameter_whose_data_changes_is_stacked_anew(strategy, change):
    router, x = WideRouter("wide", execution_strategy=strategy), inputs((3, 4))
    for name in ("a", "b"):
        router.attach(name, BaseTower(name))
        router[name].append(Map(f"{name}_map"))
    with torch.no_grad():
        for _ in range(2):
            router.wide_forward(x)
        for tower in router.towers.values():
            change(tower[0].weight)
        for _ in range(3):
            found = router.wide_forward(x)
    for name, tower in router.towers.items():
        torch.testing.assert_close(found[name], tower(x))
    assert router.get_wide_stats()["groups"][0]["used"] == strategy.value
