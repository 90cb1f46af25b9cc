import pytest
import torch

from organisms.layers.config import ExpertConfig
from organisms.layers.dense_ffn import DenseFFN
from tests.organisms.layers.definitions import GATED, PLAIN, D, H, activated, drawn, with_gradients


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def dense(seed=0, n_layers=1, **given):
    return DenseFFN(ExpertConfig(d_model=D, d_hidden=H, **given), stream(seed), n_layers=n_layers)


@pytest.mark.parametrize("activation", [*PLAIN, *GATED])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_two_matrices_around_an_activation_and_so_are_the_gradients(activation, bias):
    layer = dense(activation=activation, bias=bias).double()
    if bias:
        layer.b1.data, layer.b2.data = drawn(len(layer.b1), seed=3), drawn(D, seed=4)
    x, change = drawn(2, 3, D).requires_grad_(), drawn(2, 3, D, seed=1)
    b1, b2 = (layer.b1, layer.b2) if bias else (0, 0)
    y = activated(x @ layer.W1.T + b1, activation) @ layer.W2.T + b2
    leaves = [x, *layer.parameters()]
    found, wanted = (with_gradients(each, leaves, change) for each in (layer(x), y))
    for each, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(each, other)


def test_parameters_have_the_documented_shapes_and_names():
    shapes = {name: tuple(p.shape) for name, p in dense().named_parameters()}
    assert shapes == {"W1": (2 * H, D), "W2": (D, H), "b1": (2 * H,), "b2": (D,)}
    plain = dense(activation="relu", bias=False)
    assert {name: tuple(p.shape) for name, p in plain.named_parameters()} == {"W1": (H, D), "W2": (D, H)}


def test_parameters_come_from_the_generator_and_shrink_with_depth():
    first, again, other = (dense(seed, init="scaled_kaiming") for seed in (0, 0, 1))
    deep = dense(init="scaled_kaiming", n_layers=8)
    assert torch.equal(first.W1, again.W1)
    assert torch.equal(first.W2, again.W2)
    assert not torch.equal(first.W1, other.W1)
    torch.testing.assert_close(deep.W1, first.W1)
    torch.testing.assert_close(deep.W2, first.W2 / 8**0.5)


def test_dropout_falls_on_hidden_units_in_training_only():
    layer = dense(activation="relu", dropout=0.25).double()
    x, draws = drawn(6, D), stream(1)
    keep = torch.empty(6, H, dtype=torch.float64).bernoulli_(0.75, generator=draws) / 0.75
    h = torch.relu(x @ layer.W1.T)
    torch.testing.assert_close(layer(x, stream(1)), (keep * h) @ layer.W2.T)
    torch.testing.assert_close(layer.eval()(x), h @ layer.W2.T)


def test_dropout_without_a_generator_is_refused():
    with pytest.raises(ValueError, match=r"generator is missing, and dropout needs one in training: pass"):
        dense(dropout=0.25)(torch.ones(9, D))
