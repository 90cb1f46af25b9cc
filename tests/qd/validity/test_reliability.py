import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from qd.validity.reliability import split_half

RNG = np.random.default_rng(0)


def test_it_is_spearmans_and_browns_formula_on_pearsons_correlation():
    truth = RNG.normal(size=(40, 3))
    even, odd = (truth + noise * RNG.normal(size=truth.shape) for noise in (0.5, 0.5))
    found = split_half(even, odd)
    for column in range(3):
        r = pearsonr(even[:, column], odd[:, column]).statistic
        assert found[column] == pytest.approx(2 * r / (1 + r))


def test_it_estimates_the_reliability_of_the_mean_of_both_halves():
    """With true variance 1 and error variance e in each half, the mean's reliability is 1 / (1 + e / 2)."""
    truth = RNG.normal(size=(200_000, 2))
    errors = np.array([1.0, 0.25])
    halves = [truth + np.sqrt(errors) * RNG.normal(size=truth.shape) for _ in range(2)]
    np.testing.assert_allclose(split_half(*halves), 1 / (1 + errors / 2), atol=0.01)


def test_a_constant_or_contrary_measure_is_not_reliable():
    values = RNG.normal(size=(10, 1))
    even = np.hstack([np.ones((10, 1)), values, values])
    odd = np.hstack([values, -values, values])
    np.testing.assert_allclose(split_half(even, odd), [0, 0, 1])


@given(st.integers(2, 20), st.floats(-100, 100), st.floats(0.01, 100), st.integers(0, 999))
def test_it_lies_between_0_and_1_is_symmetric_and_blind_to_units(n, shift, factor, seed):
    rng = np.random.default_rng(seed)
    even, odd = rng.normal(size=(2, n, 4))
    found = split_half(even, odd)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(split_half(odd, even), found, atol=1e-12)
    np.testing.assert_allclose(split_half(factor * even + shift, odd), found, atol=1e-6)


@pytest.mark.parametrize("shapes", [((3, 2), (4, 2)), ((3,), (3,)), ((2, 3), (3, 2))])
def test_halves_of_different_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match=r"the halves must be \[n, p\] alike; they are \("):
        split_half(np.ones(shapes[0]), np.ones(shapes[1]))
