import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.effective_rank import effective_rank


def by_singular_values(x):
    squares = np.linalg.svd(x.astype(np.float64), compute_uv=False) ** 2
    return squares.sum() ** 2 / (squares**2).sum()


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize(("N", "D"), [(1, 1), (1, 5), (63, 7), (5, 100)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_the_participation_ratio_of_the_singular_values(N, D, dtype):
    x = drawn(N, D).astype(dtype)
    found = effective_rank(torch.from_numpy(x))
    assert found.numpy().dtype == dtype
    assert found.item() == pytest.approx(by_singular_values(x), rel=1e-6)


def test_orthogonal_directions_of_one_size_all_count():
    q, _ = np.linalg.qr(drawn(9, 6))
    assert effective_rank(torch.from_numpy(3 * q)).item() == pytest.approx(6)


def test_one_direction_counts_as_one():
    assert effective_rank(torch.from_numpy(np.outer(drawn(8), drawn(5)))).item() == pytest.approx(1)


def test_nothing_has_no_rank():
    assert torch.equal(effective_rank(torch.zeros(2, 4, 3)), torch.zeros(2))


def test_leading_axes_are_a_batch():
    x = drawn(2, 3, 8, 4)
    found = effective_rank(torch.from_numpy(x)).numpy()
    expected = [[by_singular_values(x[i, j]) for j in range(3)] for i in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@given(st.integers(0, 1000), st.floats(1e-6, 1e6), st.integers(1, 6), st.integers(1, 6))
@settings(deadline=None)
def test_it_lies_between_one_and_the_smaller_side_and_ignores_scale_and_rotation(seed, scale, N, D):
    x = drawn(N, D, seed=seed)
    turn, _ = np.linalg.qr(drawn(D, D, seed=seed + 1))
    found = effective_rank(torch.from_numpy(x)).item()
    assert 1 - 1e-9 <= found <= min(N, D) + 1e-9
    assert effective_rank(torch.from_numpy(scale * x @ turn)).item() == pytest.approx(found, rel=1e-6)


def test_its_gradient_is_that_of_finite_differences_also_where_singular_values_repeat():
    x = torch.eye(4, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(effective_rank, (x,))
    assert torch.autograd.gradcheck(effective_rank, (torch.from_numpy(drawn(5, 3)).requires_grad_(),))
