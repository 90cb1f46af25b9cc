import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from runs.models.network import Network, Pooled, mean_of_tokens, sinusoids
from runs.models.signature import Signature


class Body(nn.Module):
    def forward(self, x, mask, generator):
        return 2 * x, {"seen": x.detach()}


def signature(kind="class", tokens="continuous"):
    return Signature("mine", kind, tokens, 3, 2, 5, causal=False)


def test_positions_are_those_of_the_paper():
    positions = sinusoids(7, 6).double()
    for place in range(7):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            assert math.isclose(positions[place, pair], math.sin(angle), abs_tol=1e-6)
            assert math.isclose(positions[place, 3 + pair], math.cos(angle), abs_tol=1e-6)
    assert sinusoids(2, 5).shape == (2, 5)


def test_a_network_is_its_equation_in_float64():
    network = Network(signature("sequence"), 8, Body(), torch.Generator().manual_seed(0))
    tokens = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(1))
    embed, head, bias = (
        each.detach().numpy().astype(float) for each in (network.embed, network.head, network.head_bias)
    )
    x = 2 * (tokens.numpy().astype(float) @ embed + sinusoids(5, 8).numpy())
    expected = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-6) @ head.T + bias
    outputs, metrics = network(tokens)
    assert np.allclose(outputs.detach(), expected, atol=1e-4)
    assert metrics["seen"].shape == (4, 5, 8)


def test_symbols_are_rows_of_the_embedding():
    network = Network(signature("token", "discrete"), 8, Body(), torch.Generator().manual_seed(0))
    outputs, metrics = network(torch.tensor([[2, 0]]))
    assert torch.equal(metrics["seen"][0], network.embed[[2, 0]] + sinusoids(2, 8))
    assert outputs.shape == (1, 2, 2)


@given(st.integers(1, 6), st.integers(0, 6))
def test_the_mean_is_of_tokens_that_are_no_padding(real, padding):
    x = torch.randn(2, real + padding, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(real + padding).expand(2, -1) < real
    assert torch.allclose(mean_of_tokens(x, mask), x[:, :real].mean(1), atol=1e-6)
    assert torch.equal(mean_of_tokens(x, None), x.mean(1))


def test_pooled_outputs_are_the_mean_of_those_at_each_token():
    inner = Network(signature("sequence"), 8, Body(), torch.Generator().manual_seed(0))
    tokens = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(Pooled(inner)(tokens)[0], inner(tokens)[0].mean(1))
