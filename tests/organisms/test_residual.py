import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.residual import quiet_share


def test_quiet_is_what_lies_under_a_tenth_of_the_root_mean_square():
    numbers = torch.tensor([0.0, 0.099, -0.099, 0.101, -0.101, *[1.0] * 395, *[-1.0] * 600])
    numbers[5] = (1000 - (numbers.square().sum() - 1)).sqrt()  # so that it is 1
    for scale in (1e-3, 1.0, 1e3):
        assert quiet_share(scale * numbers).item() == pytest.approx(3 / 1000)


@given(st.lists(st.floats(-9, 9), min_size=1))
def test_something_is_never_quiet(numbers):
    assert 0 <= quiet_share(torch.tensor(numbers, dtype=torch.float64)) < 1


def test_of_nothing_no_share_is_quiet():
    assert quiet_share(torch.zeros(0, 3)).item() == 0
    assert quiet_share(torch.zeros(4)).item() == 0
