import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from organisms.flow.heads import adjust_num_heads


@pytest.mark.parametrize(
    ("d_model", "num_heads", "wanted"),
    [(64, 8, 8), (65, 8, 5), (128, 12, 16), (7, 4, 7), (13, 4, 1), (1, 8, 1), (97, 97, 97), (64, 100, 64)],
)
def test_the_nearest_divisor_and_of_two_the_larger(d_model, num_heads, wanted):
    assert adjust_num_heads(d_model, num_heads) == wanted


@given(width=st.integers(1, 300), heads=st.integers(1, 300))
def test_no_divisor_is_nearer(width, heads):
    adjusted = adjust_num_heads(width, heads)
    assert width % adjusted == 0
    assert all(
        abs(other - heads) >= abs(adjusted - heads) for other in range(1, width + 1) if width % other == 0
    )


def test_a_change_is_logged_once(caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            adjust_num_heads(1001, 8)
        adjust_num_heads(1000, 8)
    assert caplog.messages == ["num_heads is 7 instead of 8, because it must divide d_model, 1001"]


def test_strict_mode_refuses_a_change():
    assert adjust_num_heads(64, 8, strict=True) == 8
    with pytest.raises(
        ValueError, match=r"num_heads must divide d_model, 65, .* 8 does not; the nearest is 5"
    ):
        adjust_num_heads(65, 8, strict=True)


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="d_model must be a whole number from 1 on, but is 0"):
        adjust_num_heads(0, 8)
    with pytest.raises(ValueError, match="num_heads must be a whole number from 1 on, but is 0"):
        adjust_num_heads(64, 0)
