"""One window for all heads of a long sequence: the fused kernel, a band at a time, against the whole matrix."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.attention import attention, blockwise, flash
from tests.kernels.attention_cases import assert_same, drawn

pytestmark = pytest.mark.skipif(not flash.AVAILABLE, reason="torch has no fused kernel for the CPU")


def serve(monkeypatch):
    """Let nothing else answer."""

    def refused(*_):
        raise AssertionError("this is served in bands")

    monkeypatch.setattr(blockwise, "backward", refused)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [0.0, 1.0, 2.5, 31.5, 32.0, 33.0, 66.0])
@pytest.mark.parametrize("S", [160, 257])
def test_bands_give_what_the_whole_matrix_gives(S, window, causal, monkeypatch):
    serve(monkeypatch)
    windows = torch.full((2,), window, dtype=torch.float64)
    options = {"window": windows, "causal": causal, "scale": torch.tensor([0.2, 1.0], dtype=torch.float64)}
    assert_same(drawn(2, 2, S, 5, 7), {"rtol": 1e-9, "atol": 1e-10}, **options)


@given(st.integers(129, 200), st.integers(1, 64), st.booleans(), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_a_window_of_any_length_is_that_of_the_definition(S, window, causal, seed):
    windows = torch.full((3,), float(window), dtype=torch.float64)
    assert_same(drawn(1, 3, S, 4, 2, seed=seed), {"rtol": 1e-9, "atol": 1e-10}, window=windows, causal=causal)


def test_half_precision_is_computed_with_in_full():
    exact = drawn(1, 2, 160, 8, 8, dtype=torch.float32)
    half = [each.bfloat16() for each in exact]
    window = torch.full((2,), 12.0)
    wanted = attention(*(each.float() for each in half), window=window, causal=True, backend="reference")
    found = attention(*half, window=window.bfloat16(), causal=True)
    assert found.output.dtype == torch.bfloat16
    torch.testing.assert_close(found.output, wanted.output.bfloat16())


def test_bands_serve_only_what_they_can(monkeypatch):
    serve(monkeypatch)
    tensors = [each.requires_grad_() for each in drawn(1, 2, 160)]
    same, longer = torch.full((2,), 9.0).double(), torch.full((2,), 81.0).double()
    others = {
        "windows differ": {"window": torch.tensor([9.0, 10.0]).double()},
        "a window of more than half": {"window": longer},
        "keys are hidden": {"window": same, "key_mask": torch.arange(160)[None] > 3},
        "tokens stand elsewhere": {"window": same, "positions": 2 * torch.arange(160).double()[:, None]},
    }
    attention(*tensors, window=same).output.sum().backward()
    for options in others.values():
        with pytest.raises(AssertionError, match="served in bands"):
            attention(*tensors, **options).output.sum().backward()
