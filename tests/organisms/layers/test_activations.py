import pytest
import torch

from organisms.layers.activations import ACTIVATIONS
from tests.organisms.layers.definitions import GATED, PLAIN, H, activated, drawn


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_one_is_elementwise(name):
    h = drawn(3, 4, H)
    torch.testing.assert_close(ACTIVATIONS[name](h), activated(h, name))
    assert ACTIVATIONS[name].width(H) == H


@pytest.mark.parametrize("name", GATED)
def test_a_gated_one_activates_the_first_half_and_multiplies_by_the_second(name):
    h = drawn(3, 4, 2 * H)
    torch.testing.assert_close(ACTIVATIONS[name](h), activated(h, name))
    assert ACTIVATIONS[name].width(H) == 2 * H


def test_there_are_no_others():
    assert set(ACTIVATIONS) == set(PLAIN) | set(GATED)
