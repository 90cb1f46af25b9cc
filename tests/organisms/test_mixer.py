from dataclasses import replace

import pytest
import torch

from organisms.mixer import mixed_tokens, new_mixer
from tests.fixtures import naive_interface as naive
from tests.fixtures.small_worlds import small_task

TASK = small_task()


def mixer(dim, depth=2):
    return new_mixer(dim, depth, torch.Generator().manual_seed(3))


def stream(dim, seed=0):
    return torch.randn(4, 7, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_float64(interface):
    return {name: tensor.double() for name, tensor in interface.items()}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dim", [1, 9, 16, 31, 32, 34, 48])  # heads: 1, 1, 1, 1, 2, 2, 3
def test_tokens_find_in_one_another_what_the_definition_says(dim, causal):
    task, x = replace(TASK, causal=causal), stream(dim)
    interface = in_float64(mixer(dim))
    for layer in range(2):
        expected = torch.stack([naive.mixed(task, interface, layer, one) for one in x])
        found = mixed_tokens(task, interface, layer, x)
        torch.testing.assert_close(found, expected)
        assert not torch.allclose(found, x)


def test_without_a_mixer_the_stream_is_as_it_was():
    x = stream(9)
    assert mixed_tokens(TASK, {}, 0, x) is x


def test_layers_are_drawn_apart_and_as_large_as_they_should_be():
    drawn = mixer(200, 3)
    assert list(drawn) == [f"mixer.{name}" for name in "qkvo"]
    for name, std in (("q", 1.0), ("k", 1.0), ("v", 1.0), ("o", 0.5)):
        tensor = drawn[f"mixer.{name}"]
        assert tensor.shape == (3, 200, 200)
        assert tensor.std().item() == pytest.approx(std / 200**0.5, rel=0.02)
        assert not torch.equal(tensor[0], tensor[1])


def test_gradients_reach_stream_and_mixer():
    interface = {name: tensor.requires_grad_() for name, tensor in in_float64(mixer(3, 1)).items()}

    def mixed(x, *tensors):
        return mixed_tokens(TASK, dict(zip(interface, tensors, strict=True)), 0, x)

    x = stream(3)[:1].requires_grad_()
    assert torch.autograd.gradcheck(mixed, (x, *interface.values()))
