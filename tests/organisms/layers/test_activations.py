import pytest
import torch

from organisms.layers.activations import ACTIVATIONS
from tests.organisms.experts.mixtures import BENDS, GATED, H, drawn


@pytest.mark.parametrize("name", BENDS)
def test_a_plain_one_bends_each_number(name):
    h = drawn(3, 4, H)
    torch.testing.assert_close(ACTIVATIONS[name](h), BENDS[name](h))
    assert ACTIVATIONS[name].width(H) == H


@pytest.mark.parametrize("name", GATED)
def test_a_gated_one_bends_the_first_half_and_multiplies_by_the_second(name):
    h = drawn(3, 4, 2 * H)
    torch.testing.assert_close(ACTIVATIONS[name](h), BENDS[GATED[name]](h[..., :H]) * h[..., H:])
    assert ACTIVATIONS[name].width(H) == 2 * H


def test_there_are_no_others():
    assert set(ACTIVATIONS) == set(BENDS) | set(GATED)
