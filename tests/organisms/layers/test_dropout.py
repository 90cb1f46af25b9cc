import pytest
import torch

from organisms.layers.dropout import dropout_factors


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_factors_are_zero_for_their_share_and_have_mean_one(dtype):
    like = torch.empty(0, dtype=dtype)
    factors = dropout_factors(like, (200, 100), 0.25, stream())
    assert (factors.dtype, tuple(factors.shape)) == (dtype, (200, 100))
    assert set(factors.unique().tolist()) == {0.0, (torch.ones(1, dtype=dtype) / 0.75).item()}
    assert float((factors == 0).double().mean()) == pytest.approx(0.25, abs=0.01)


def test_the_generator_alone_decides():
    like = torch.empty(0)
    once, again, other = (dropout_factors(like, (50,), 0.5, stream(seed)) for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_a_generator_of_the_device_is_required():
    with pytest.raises(ValueError, match="generator is missing, and dropout needs one in training"):
        dropout_factors(torch.empty(0), (2,), 0.5, None)
    with pytest.raises(ValueError, match=r"generator must be a torch\.Generator on meta, but is one on cpu"):
        dropout_factors(torch.empty(0, device="meta"), (2,), 0.5, stream())
