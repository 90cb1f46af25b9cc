import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.experts.config import MoEConfig, RouterConfig
from organisms.experts.feed_forward import MoEFeedForward
from organisms.layers.activations import ACTIVATIONS
from organisms.layers.config import ExpertConfig
from organisms.layers.dense_ffn import DenseFFN
from organisms.layers.steady import sigmoid, steady
from tests.fixtures.exact_rows import exact_rows


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 200), st.integers(0, 199))
def test_a_sigmoid_is_that_of_torch_and_of_each_number_alone(length, start):
    x = 8 * normal(length)
    torch.testing.assert_close(sigmoid(x), x.double().sigmoid().float(), rtol=1e-6, atol=0)
    assert torch.equal(sigmoid(x[start:]), sigmoid(x)[start:])


@pytest.mark.parametrize("function", [torch.nn.functional.silu, torch.nn.functional.gelu, torch.sigmoid])
@given(st.integers(1, 40), st.integers(1, 130), st.integers(0, 39))
def test_rows_of_any_width_are_those_of_each_row_alone(function, rows, width, row):
    x = normal(rows, 2 * width)[:, width:]  # rows that lie apart
    torch.testing.assert_close(steady(function, x), function(x.double()).float(), rtol=1e-5, atol=1e-6)
    assert torch.equal(steady(function, x[row : row + 1]), steady(function, x)[row : row + 1])


@exact_rows
@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(st.integers(1, 70), st.integers(1, 39))
def test_a_token_comes_to_the_same_in_every_bit_in_any_company(activation, hidden, count):
    expert = ExpertConfig(d_model=16, d_hidden=hidden, activation=activation)
    x = normal(40, 16)
    dense = DenseFFN(expert, torch.Generator().manual_seed(0))
    config = MoEConfig(d_model=16, router=RouterConfig(n_experts=3, init_scale=2.0), expert=expert)
    experts = MoEFeedForward(config, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for layer in (dense, experts):
            assert torch.equal(layer.each(x[:count]), layer.each(x)[:count])
            assert torch.equal(layer.each(x[count:]), layer.each(x)[count:])
