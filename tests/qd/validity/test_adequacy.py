import math

import numpy as np
import pytest
from factor_analyzer import calculate_bartlett_sphericity, calculate_kmo
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from sklearn.decomposition import KernelPCA

from qd import seeding
from qd.validity import adequacy


def two_factors(n: int, p: int = 5, noise: float = 0.5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    return z @ rng.normal(size=(2, p)) + noise * rng.normal(size=(n, p))


def kmo_of(samples: np.ndarray) -> float:
    return float(adequacy.kmo(adequacy.correlation(adequacy.standardised(samples))))


@given(st.integers(3, 7), st.integers(10, 80), st.floats(0.05, 3), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_kmo_equals_factor_analyzers(p, n, noise, seed):
    samples = two_factors(n, p, noise, seed)
    samples /= samples.std(axis=0)
    scaled = samples * np.exp(
        -np.linalg.slogdet(np.cov(samples.T))[1] / (2 * p)
    )  # clear of its pseudo-inverse
    assert kmo_of(samples) == pytest.approx(calculate_kmo(scaled)[1], abs=1e-9)


def test_kmo_of_three_equally_correlated_measures_by_hand():
    # All r = 1/2: the partial correlation is r / (1 + r) = 1/3, so KMO = (1/4) / (1/4 + 1/9).
    matrix = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    assert adequacy.kmo(matrix) == pytest.approx(9 / 13, abs=1e-12)
    assert adequacy.kmo(np.stack([matrix, matrix])).shape == (2,)


@given(st.floats(0.01, 0.99), st.sampled_from([1, -1]), st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_kmo_of_two_measures_is_one_half_whatever_they_are(r, sign, seed):
    assert adequacy.kmo(np.array([[1.0, sign * r], [sign * r, 1.0]])) == pytest.approx(0.5, abs=1e-9)
    assert calculate_kmo(two_factors(30, 2, seed=seed))[1] == pytest.approx(0.5, abs=1e-6)


def test_kmo_of_uncorrelated_measures_is_nan():
    assert np.isnan(adequacy.kmo(np.eye(4)))


def test_independent_measures_score_about_one_half_and_copies_much_more():
    rng = np.random.default_rng(0)
    values = np.array([kmo_of(rng.normal(size=(128, 5))) for _ in range(400)])
    assert values.mean() == pytest.approx(0.495, abs=0.01)
    assert np.mean(values < 0.5) == pytest.approx(0.57, abs=0.1)
    near_copies = np.full((5, 5), 0.98) + 0.02 * np.eye(5)
    copies = [kmo_of(rng.multivariate_normal(np.zeros(5), near_copies, size=128)) for _ in range(20)]
    assert np.mean(copies) == pytest.approx(0.93, abs=0.02)


@given(st.integers(0, 999), st.sampled_from([1e-150, 1e-3, 1.0, 1e150]), st.floats(-1e3, 1e3))
@settings(max_examples=30, deadline=None)
def test_correlation_is_pearsons_and_knows_no_unit(seed, scale, shift):
    samples = two_factors(30, seed=seed)
    found = adequacy.correlation(adequacy.standardised(scale * (samples + shift)))
    np.testing.assert_allclose(found, np.corrcoef(samples.T), atol=1e-10)
    assert (np.diag(found) == 1).all()


def test_the_interval_is_that_of_resampling_whole_organisms():
    samples = two_factors(60, noise=2.0)
    groups = np.repeat(np.arange(10), 6)[::-1]
    columns = adequacy.standardised(samples)
    chosen = seeding.generator(7, 0, "validity:kmo").integers(10, size=(200, 10))
    slow = [kmo_of(np.concatenate([samples[groups == group] for group in draw])) for draw in chosen]
    found = adequacy.kmo_interval(columns, groups, 200, 7)
    assert found == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=1e-9)
    assert found == adequacy.kmo_interval(columns, groups, 200, 7)
    assert found != adequacy.kmo_interval(columns, groups, 200, 8)


def test_names_of_organisms_do_not_matter():
    columns = adequacy.standardised(two_factors(60))
    numbers = np.repeat(np.arange(6), 10)
    texts = np.array([f"organism {number}" for number in numbers])
    assert adequacy.kmo_interval(columns, numbers, 50, 0) == adequacy.kmo_interval(columns, texts, 50, 0)


def test_dependent_rows_widen_the_interval():
    rng = np.random.default_rng(1)
    centres = two_factors(20, noise=1.0)
    repeated = np.repeat(centres, 10, axis=0) + 0.1 * rng.normal(size=(200, 5))
    columns = adequacy.standardised(repeated)
    by_organism = adequacy.kmo_interval(columns, np.repeat(np.arange(20), 10), 300, 0)
    by_row = adequacy.kmo_interval(columns, np.arange(200), 300, 0)
    assert by_organism[1] - by_organism[0] > 1.5 * (by_row[1] - by_row[0])


def test_one_organism_has_no_interval():
    assert adequacy.kmo_interval(adequacy.standardised(two_factors(60)), np.zeros(60), 100, 0) is None


def test_mostly_singular_draws_have_no_interval():
    # Two organisms of three rows: a draw of the same one twice has too few distinct rows for five measures.
    columns = adequacy.standardised(two_factors(8))
    assert adequacy.kmo_interval(columns, np.repeat([0, 1], 4), 100, 0) is None


def test_factor_analyzers_tests_reach_the_reference_values():
    columns = adequacy.standardised(two_factors(200))
    (kmo, msa), (statistic, p_value) = adequacy.sampling_adequacy(columns), adequacy.sphericity(columns)
    assert kmo == pytest.approx(0.782204, abs=1e-6)
    assert statistic == pytest.approx(1071.1635, abs=1e-4)
    assert p_value == pytest.approx(8.67e-224, rel=1e-3)
    assert msa.shape == (5,)
    determinant = np.linalg.det(np.corrcoef(two_factors(200).T))
    assert statistic == pytest.approx(-(200 - 1 - 15 / 6) * np.log(determinant), rel=1e-12)
    assert p_value == pytest.approx(chi2.sf(statistic, 10), rel=1e-9)


@pytest.mark.parametrize("p", [3, 5, 8])
def test_as_many_measures_as_there_are_have_an_msa(p):
    samples = two_factors(200, p)
    kmo, msa = adequacy.sampling_adequacy(adequacy.standardised(samples))
    theirs, total = calculate_kmo(samples / samples.std(axis=0))
    assert kmo == pytest.approx(total, abs=1e-9)
    np.testing.assert_allclose(msa, theirs, atol=1e-9)
    ours = adequacy.sphericity(adequacy.standardised(samples))
    assert ours == pytest.approx(calculate_bartlett_sphericity(samples), rel=1e-9)
    r = np.corrcoef(samples.T)
    statistic = -(200 - 1 - (2 * p + 5) / 6) * np.linalg.slogdet(r)[1]
    assert ours == pytest.approx((statistic, chi2.sf(statistic, p * (p - 1) / 2)), rel=1e-9)


@pytest.mark.parametrize(("n", "noise"), [(4, 1.0), (30, 3.0), (200, 0.5)])
def test_bartletts_test_of_two_measures_by_hand(n, noise):
    # det R = 1 - r^2, one degree of freedom: the square of a normal, so that erfc is the tail.
    columns = adequacy.standardised(two_factors(n, 2, noise))
    r = np.corrcoef(columns.T)[0, 1]
    statistic, p_value = adequacy.sphericity(columns)
    assert statistic == pytest.approx(-(n - 2.5) * math.log(1 - r * r), rel=1e-9)
    assert p_value == pytest.approx(math.erfc(math.sqrt(statistic / 2)), rel=1e-9)


def test_close_correlations_do_not_bring_on_the_pseudo_inverse():
    # Warnings are errors here: factor-analyzer gives one when it falls back.
    samples = two_factors(200, noise=1e-3)
    kmo, _ = adequacy.sampling_adequacy(adequacy.standardised(samples))
    assert np.linalg.det(np.corrcoef(samples.T)) < np.finfo(np.float32).eps
    assert kmo == pytest.approx(kmo_of(samples), abs=1e-9)


def test_effective_dimension_and_largest_correlation_by_hand():
    assert adequacy.effective_dimension(np.eye(5)) == 5
    assert adequacy.effective_dimension(np.ones((5, 5))) == 1
    assert adequacy.effective_dimension(np.array([[1.0, -0.6], [-0.6, 1.0]])) == pytest.approx(2 / 1.36)
    matrix = np.array([[1.0, -0.5, 0.1], [-0.5, 1.0, 0.2], [0.1, 0.2, 1.0]])
    values = np.linalg.eigvalsh(matrix)
    assert adequacy.effective_dimension(matrix) == pytest.approx(values.sum() ** 2 / np.sum(values**2))
    assert adequacy.largest_correlation(matrix) == 0.5


@given(st.integers(1, 4), st.integers(60, 120), st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_as_many_principal_components_as_there_are_factors(factors, n, seed):
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(n, factors)) @ np.linalg.qr(rng.normal(size=(5, 5)))[0][:factors]
    matrix = adequacy.correlation(adequacy.standardised(samples))
    assert adequacy.principal_components(matrix) <= factors
    assert adequacy.principal_components(np.eye(5)) == 5


@given(st.integers(10, 60), st.integers(2, 6), st.floats(0.05, 2), st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_kernel_components_are_those_of_scikit_learn(n, p, noise, seed):
    columns = adequacy.standardised(two_factors(n, p, noise, seed))
    spectrum = KernelPCA(kernel="rbf", eigen_solver="dense", remove_zero_eig=False).fit(columns).eigenvalues_
    shares = np.cumsum(spectrum) / spectrum.sum()
    found = adequacy.kernel_components(columns)
    assert shares[found - 1] >= 0.95 - 1e-9
    assert found == 1 or shares[found - 2] < 0.95 + 1e-9


def test_a_curve_has_two_principal_components_of_which_neither_can_go_and_a_line_one():
    angle = np.linspace(0, 2 * math.pi, 80, endpoint=False)
    line = adequacy.standardised(np.stack([angle, 2 * angle], 1))
    circle = adequacy.standardised(np.stack([np.cos(angle), np.sin(angle)], 1))
    assert [adequacy.principal_components(adequacy.correlation(each)) for each in (line, circle)] == [1, 2]
    assert adequacy.kernel_components(circle) > 2


def test_a_large_sample_is_thinned():
    columns = adequacy.standardised(two_factors(2000))
    assert adequacy.kernel_components(columns) == adequacy.kernel_components(columns[::4])
