import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from kernels.correlation import correlation


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape) @ np.random.default_rng(9).normal(
        size=(shape[-1],) * 2
    )


@pytest.mark.parametrize(("N", "D"), [(2, 1), (3, 5), (63, 7), (100, 2)])
def test_it_is_numpys(N, D):
    x = drawn(N, D)
    expected = np.corrcoef(x, rowvar=False).reshape(D, D)
    np.testing.assert_allclose(correlation(torch.from_numpy(x)).numpy(), expected, atol=1e-12)


def test_leading_axes_are_a_batch():
    x = torch.from_numpy(drawn(2, 3, 11, 4))
    found = correlation(x)
    assert found.shape == (2, 3, 4, 4)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(found[i, j], correlation(x[i, j]))


def test_float32_is_computed_in_float64():
    x = drawn(63, 5).astype(np.float32) + 1000
    found = correlation(torch.from_numpy(x))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), np.corrcoef(x.astype(np.float64), rowvar=False), atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [0.0, 0.1, -1 / 3, 1e6])
@pytest.mark.parametrize("N", [1, 3, 7, 10, 63])
def test_a_constant_feature_correlates_with_nothing(N, constant, dtype):
    x = torch.from_numpy(drawn(N, 3)).to(dtype)
    x[:, 1:] = constant
    found = correlation(x)
    assert torch.equal(found[1:], torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=dtype))
    assert torch.equal(found[:, 1:], found[1:].T)


@given(
    st_numpy.arrays(np.float64, (6, 3), elements=st.floats(-100, 100)),
    st.floats(0.1, 10),
    st.floats(-10, 10),
)
@settings(deadline=None)
def test_it_is_symmetric_bounded_and_blind_to_units(x, factor, shift):
    x = np.round(x, 3)
    found = correlation(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, found.T)
    assert (np.abs(found) <= 1 + 1e-12).all()
    assert (np.diag(found) == 1).all()
    varying = [column for column in range(3) if np.ptp(x[:, column]) > 0]
    changed = correlation(torch.from_numpy(factor * x + shift)).numpy()
    np.testing.assert_allclose(changed[varying][:, varying], found[varying][:, varying], atol=1e-9)
