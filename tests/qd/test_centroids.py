import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from qd.centroids import annealed_cvt, check, halton_cvt, kmeans_cvt, neighbours, quantisation_error


def error(centroids, points):
    return ((points[:, None] - centroids[None]) ** 2).sum(axis=2).min(axis=1).mean()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 2**63 - 1))
def test_halton_centroids_are_distinct_points_of_the_cube_and_named_by_the_seed(cells, dims, seed):
    centroids = halton_cvt(cells, dims, seed)
    assert centroids.shape == (cells, dims)
    assert check(centroids, dims) is not None
    assert (centroids == halton_cvt(cells, dims, seed)).all()
    assert (centroids != halton_cvt(cells, dims, seed + 1)).any()


def test_relaxed_centroids_are_as_even_as_those_of_k_means():
    rng = np.random.default_rng(1)
    fitted, points = rng.random((4000, 3)), rng.random((4000, 3))
    ours = error(halton_cvt(60, 3, 0), points)
    assert ours < 1.02 * error(KMeans(60, n_init=1, random_state=0).fit(fitted).cluster_centers_, points)
    assert ours < 0.9 * error(qmc.Halton(3, rng=np.random.default_rng(0)).random(60), points)


def test_one_dimension_has_a_known_answer():
    np.testing.assert_allclose(np.sort(halton_cvt(4, 1, 0)[:, 0]), [0.125, 0.375, 0.625, 0.875], atol=0.01)


def test_k_means_finds_separate_clusters():
    corners = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    rng = np.random.default_rng(0)
    samples = np.repeat(corners, 20, axis=0) + rng.uniform(-0.01, 0.01, (60, 2))
    found = kmeans_cvt(samples, 3, 5)
    assert np.abs(found[:, None] - corners[None]).max(axis=2).min(axis=0).max() < 0.01
    assert (found == kmeans_cvt(samples, 3, 5)).all()


def test_k_means_bits_do_not_depend_on_threads():
    samples = np.random.default_rng(0).random((6000, 5))
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(kmeans_cvt(samples, 100, 1))
    assert (found[0] == found[1]).all()


def clustered(n=400, dims=3):
    rng = np.random.default_rng(0)
    centres = rng.random((5, dims))
    return np.clip(np.repeat(centres, n // 5, axis=0) + 0.05 * rng.standard_normal((n, dims)), 0, 1)


def test_annealing_comes_to_the_error_of_the_best_of_many_k_means_and_far_below_an_even_spread():
    samples = clustered()
    fits = (KMeans(30, n_init=1, random_state=seed).fit(samples).cluster_centers_ for seed in range(5))
    annealed = error(annealed_cvt(samples, 30, 0), samples)
    assert annealed < 1.02 * min(error(fit, samples) for fit in fits)
    assert annealed < 0.3 * error(halton_cvt(30, 3, 0), samples)


def test_annealed_centroids_are_distinct_points_of_the_cube_and_named_by_the_seed():
    found = annealed_cvt(clustered(), 12, 4)
    assert found.shape == (12, 3)
    assert check(found, 3) is not None
    assert (
        found.tobytes()
        == annealed_cvt(clustered(), 12, 4).tobytes()
        != annealed_cvt(clustered(), 12, 5).tobytes()
    )


def test_one_annealed_cell_is_the_mean():
    np.testing.assert_allclose(annealed_cvt(clustered(), 1, 0)[0], clustered().mean(0), atol=1e-12)


def test_the_error_of_quantisation_is_the_mean_squared_distance_to_the_nearest():
    samples, centroids = clustered(50), np.random.default_rng(1).random((4, 3))
    assert quantisation_error(samples, centroids) == pytest.approx(error(centroids, samples))


@given(st.integers(2, 30), st.integers(1, 9))
def test_neighbours_are_the_nearest_others(cells, k):
    centroids = np.random.default_rng(cells).random((cells, 5))
    table = neighbours(centroids, k)
    assert table.shape == (cells, min(k, cells - 1))
    for cell, row in enumerate(table.tolist()):
        others = [other for other in range(cells) if other != cell]
        others.sort(key=lambda other: math.dist(centroids[cell], centroids[other]))
        assert row == others[: len(row)]


def test_ties_between_neighbours_go_by_index():
    square = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert neighbours(square, 2).tolist() == [[1, 2], [0, 3], [0, 3], [1, 2]]


def test_check_gives_contiguous_float64():
    checked = check(np.asfortranarray(np.eye(3, 2, dtype=np.float32)), 2)
    assert checked.shape == check(np.eye(3, 2)).shape == (3, 2)
    assert checked.dtype == np.float64
    assert checked.flags.c_contiguous


@pytest.mark.parametrize(
    ("centroids", "message"),
    [
        (np.zeros(4), r"centroids must be a table \[n, dims\].*got shape \(4,\)"),
        (np.zeros((0, 2)), "at least one row"),
        (np.zeros((1, 3)), r"centroids must be \[cells, 2\], one column per measure, got shape \(1, 3\)"),
        ([[0.5, 0.5], [0.5, 1.5]], r"centroids must lie in the unit cube, but row 1 is \[0.5, 1.5\]"),
        ([[0.5, math.nan]], r"centroids must lie in the unit cube, but row 0 is \[0.5, nan\]"),
        ([[0.5, 0.1], [0.2, 0.2], [0.5, 0.1]], "centroids must differ, but rows 0 and 2 are equal"),
    ],
)
def test_check_refuses(centroids, message):
    with pytest.raises(ValueError, match=message):
        check(centroids, 2)


def test_other_refusals():
    with pytest.raises(ValueError, match="cells and dims must be 1 or more, got cells = 0, dims = 5"):
        halton_cvt(0, 5, 0)
    samples = np.random.default_rng(0).random((39, 5))
    with pytest.raises(ValueError, match="k-means for 4 cells needs 10 samples a cell, 40 in all, got 39"):
        kmeans_cvt(samples, 4, 0)
    with pytest.raises(ValueError, match="only 2 of 40 samples are different, too few for 4 cells"):
        kmeans_cvt(np.repeat(samples[:2], 20, axis=0), 4, 0)
    with pytest.raises(ValueError, match="samples must lie in the unit cube"):
        kmeans_cvt(samples + 1, 3, 0)
    with pytest.raises(ValueError, match="neighbours need 2 cells and k >= 1, got 1 cells and k = 8"):
        neighbours(np.zeros((1, 5)))
    with pytest.raises(ValueError, match="neighbours need 2 cells and k >= 1"):
        neighbours(samples, 0)
