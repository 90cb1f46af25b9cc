"""What modules are for."""

import pytest
from torch import nn

from organisms.towers.compile.categories import category


class MyAttention(nn.Module):
    pass


class RouterGate(nn.Module):
    pass


class MyMap(nn.Linear):
    pass


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.held = nn.Linear(2, 2)


class Nothing(nn.Module):
    pass


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.Linear(2, 2), "linear"),
        (nn.Bilinear(2, 2, 2), "linear"),
        (MyMap(2, 2), "linear"),
        (nn.Identity(), "other"),
        (nn.Conv2d(2, 2, 1), "conv"),
        (nn.ConvTranspose1d(2, 2, 1), "conv"),
        (nn.LayerNorm(2), "norm"),
        (nn.BatchNorm2d(2), "norm"),
        (nn.InstanceNorm1d(2), "norm"),
        (nn.AdaptiveAvgPool1d(2), "pooling"),
        (nn.Embedding(2, 2), "embedding"),
        (nn.GELU(), "activation"),
        (nn.MultiheadAttention(2, 1), "attention"),
        (MyAttention(), "attention"),
        (RouterGate(), "gating"),
        (nn.Dropout(), "dropout"),
        (nn.LSTM(2, 2), "recurrent"),
        (nn.ModuleList(), "container"),
        (Holder(), "composite"),
        (Nothing(), "other"),
    ],
)
def test_categories(module, name):
    assert category(module) == name
