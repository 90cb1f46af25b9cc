"""Centroids of the archive's cells: a centroidal Voronoi tessellation of the unit cube.

Centroids are found once, stored and hashed; everything later reads the stored ones.
"""

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from qd.distances import squared_distances
from qd.lifecycle.annealing import geometric, metropolis
from qd.seeding import generator

SAMPLES_PER_CELL = 64  # of the Halton sample that stands for the cube
LLOYD_STEPS = 20  # the error still falls by 0.1 % in the next twenty
FEWEST_PER_CELL = 10  # observed samples that k-means and annealing need
MOVES_PER_CELL = 100  # that annealing proposes
HOT = 0.1  # temperature at the start, as a share of what one cell adds to the error
COOLED = 1e-3  # temperature at the end, as a share of that at the start
JUMPS = 0.5  # share of the moves that go to where a sample is, instead of a little further
SMALLEST = 1e-12  # temperature where all samples are centroids


def halton_cvt(cells: int, dims: int, seed: int) -> Float64[np.ndarray, "cells dims"]:
    """Return centroids that are spread evenly over the unit cube.

    Starts from a scrambled Halton sequence and moves each centroid, in 20 Lloyd steps, to the mean of
    the points of a second, fixed Halton sample that are nearest to it.

    Parameters
    ----------
    cells
        How many centroids, 1 or more.
    dims
        Dimensions of the cube, 1 or more.
    seed
        Seed of the run; the same one gives the same bits.

    Raises
    ------
    ValueError
        If `cells` or `dims` is below 1.

    Source: Vassiliades, Chatzilygeroudis & Mouret 2018, "Using centroidal Voronoi tessellations to scale
    up the multidimensional archive of phenotypic elites", section III.
    Differs from the source: low-discrepancy points instead of 100,000 random ones for k-means. The mean
    squared distance to the nearest of 256 centroids in five dimensions is 1.5 % larger, the time a
    fifteenth, and the bits do not depend on the number of threads.
    """
    if cells < 1 or dims < 1:
        raise ValueError(f"cells and dims must be 1 or more, got cells = {cells}, dims = {dims}")
    centroids = _halton(cells, dims, seed, "centroids:start")
    points = _halton(cells * SAMPLES_PER_CELL, dims, seed, "centroids:sample")
    for _ in range(LLOYD_STEPS):
        centroids = _lloyd(centroids, points)
    return centroids


def kmeans_cvt(samples: ArrayLike, cells: int, seed: int) -> Float64[np.ndarray, "cells dims"]:
    """Return centroids placed where observed behaviours are, by k-means.

    Parameters
    ----------
    samples
        Observed behaviours [n, dims] in the unit cube, at least 10 for each cell.
    cells
        How many centroids, 1 or more.
    seed
        Seed of the run; the same one gives the same centroids.

    Raises
    ------
    ValueError
        If the samples are not in the unit cube, or are too few.

    Source: Vassiliades, Chatzilygeroudis & Mouret 2018, section III, on observed samples.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    points = _observed("k-means", samples, cells)
    state = int(generator(seed, 0, "centroids:kmeans").integers(2**31))
    with threadpool_limits(limits=1):  # the bits of k-means depend on the number of threads
        return np.ascontiguousarray(KMeans(cells, n_init=1, random_state=state).fit(points).cluster_centers_)


def annealed_cvt(samples: ArrayLike, cells: int, seed: int) -> Float64[np.ndarray, "cells dims"]:
    """Return centroids placed where observed behaviours are, by simulated annealing of the quantisation error.

    Starts from samples drawn at random. One centroid after the other is moved, a little or to where some sample is, by
    the Metropolis rule at a temperature that falls geometrically, and the noise of a move with it; Lloyd's steps on the
    samples go on from there until the error falls no more.

    Parameters
    ----------
    samples
        Observed behaviours [n, dims] in the unit cube, at least 10 for each cell.
    cells
        How many centroids, 1 or more.
    seed
        Seed of the run; the same one gives the same bits.

    Raises
    ------
    ValueError
        If the samples are not in the unit cube, or are too few.

    Source: Slime Mold Transformer blueprint, "Simulated Annealing for Component Lifecycle", application 2.
    Differs from the source: one centroid moves at a time, so that moves are taken at any number of cells, and may jump,
    as a cell in which nothing lies would find no way back; what is minimised is the error that its text names, not the
    coverage of its code.
    """
    points = _observed("annealing", samples, cells)
    rng = generator(seed, 0, "centroids:annealed")
    different = np.unique(points, axis=0)
    centroids = different[np.sort(rng.choice(len(different), cells, replace=False))]
    squares = ((points[:, None] - centroids) ** 2).sum(2)  # of the distance of every sample to every centroid
    nearest, least = squares.argmin(1), squares.min(1)
    share = float(least.mean()) / cells  # of one cell in the error, at the start
    temperature = geometric(max(HOT * share, SMALLEST), COOLED, MOVES_PER_CELL * cells)
    for move in range(MOVES_PER_CELL * cells):
        cell, heat = move % cells, temperature(move)
        near = points[rng.integers(len(points))] if rng.random() < JUMPS else centroids[cell]
        size = np.sqrt(share * cells / points.shape[1] * heat / temperature(0))
        moved = np.clip(near + size * rng.standard_normal(points.shape[1]), 0, 1)
        new = ((points - moved) ** 2).sum(1)
        others, without = _nearest_but(cell, squares, nearest, least)
        worse = float(np.minimum(without, new).mean() - least.mean())
        if rng.random() < metropolis(worse, heat):
            centroids[cell], squares[:, cell] = moved, new
            nearest, least = np.where(new < without, cell, others), np.minimum(without, new)
    while True:
        better = _lloyd(centroids, points)
        if quantisation_error(points, better) >= quantisation_error(points, centroids):
            return centroids
        centroids = better


def _nearest_but(
    cell: int, squares: np.ndarray, nearest: np.ndarray, least: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centroid of every sample but one, and the square of its distance; infinite if there is none.

    Parameters
    ----------
    cell
        The one that is left out.
    squares
        Of the distance of every sample to every centroid, [n, cells].
    nearest, least
        The nearest of all, and the square of its distance, [n].
    """
    others, without = nearest.copy(), least.copy()
    own = np.flatnonzero(nearest == cell)
    left = squares[own]
    left[:, cell] = np.inf
    others[own], without[own] = left.argmin(1), left.min(1)
    return others, without


def quantisation_error(samples: ArrayLike, centroids: ArrayLike) -> float:
    """Return the mean squared distance of samples [n, dims] to the nearest of the centroids [cells, dims]."""
    distances = KDTree(np.asarray(centroids)).query(np.asarray(samples))[0]
    return float(np.square(distances).mean())


def check(centroids: ArrayLike, dims: int | None = None) -> Float64[np.ndarray, "cells dims"]:
    """Check centroids from elsewhere, and return them as contiguous float64 [cells, dims].

    Parameters
    ----------
    centroids
        Points of the unit cube, one a row, all different.
    dims
        How many measures there are; None takes as many as there are columns.

    Raises
    ------
    ValueError
        If the array has another shape, leaves the unit cube, or holds a point twice.
    """
    points = _in_unit_cube("centroids", centroids)
    if dims is not None and points.shape[1] != dims:
        raise ValueError(
            f"centroids must be [cells, {dims}], one column per measure, got shape {points.shape}"
        )
    order = np.lexsort(points.T)
    same = np.flatnonzero((points[order[1:]] == points[order[:-1]]).all(axis=1))
    if len(same):
        first, second = sorted(order[same[0] : same[0] + 2].tolist())
        raise ValueError(f"centroids must differ, but rows {first} and {second} are equal; remove one")
    return points


def neighbours(centroids: ArrayLike, k: int = 8) -> Int64[np.ndarray, "cells k"]:
    """Return the `k` nearest other cells of each cell, nearest first, ties by index.

    Parameters
    ----------
    centroids
        Points [cells, dims] of the unit cube, at least two.
    k
        How many neighbours, 1 or more; an archive of fewer cells has ``cells - 1``.

    Raises
    ------
    ValueError
        If there are fewer than two cells, or `k` is below 1.
    """
    points = _in_unit_cube("centroids", centroids)
    if len(points) < 2 or k < 1:
        raise ValueError(f"neighbours need 2 cells and k >= 1, got {len(points)} cells and k = {k}")
    squares = squared_distances(points, points)
    np.fill_diagonal(squares, np.inf)
    return np.argsort(squares, axis=1, kind="stable")[:, : min(k, len(points) - 1)].astype(np.int64)


def _halton(n: int, dims: int, seed: int, context: str) -> Float64[np.ndarray, "n dims"]:
    from scipy.stats import qmc

    return qmc.Halton(dims, scramble=True, rng=generator(seed, 0, context)).random(n)


def _lloyd(
    centroids: Float64[np.ndarray, "cells dims"], points: Float64[np.ndarray, "n dims"]
) -> Float64[np.ndarray, "cells dims"]:
    nearest = KDTree(centroids).query(points)[1]
    counts = np.bincount(nearest, minlength=len(centroids))
    sums = [np.bincount(nearest, weights=column, minlength=len(centroids)) for column in points.T]
    means = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
    return np.where(counts[:, None] > 0, means, centroids)  # a centroid without points stays


def _observed(method: str, samples: ArrayLike, cells: int) -> Float64[np.ndarray, "n dims"]:
    """Return samples of which there are enough for a method that places centroids among them."""
    points = _in_unit_cube("samples", samples)
    if cells < 1 or len(points) < FEWEST_PER_CELL * cells:
        raise ValueError(
            f"{method} for {cells} cells needs {FEWEST_PER_CELL} samples a cell, "
            f"{FEWEST_PER_CELL * cells} in all, got {len(points)}; use fewer cells or halton centroids"
        )
    distinct = len(np.unique(points, axis=0))
    if distinct < cells:
        raise ValueError(
            f"only {distinct} of {len(points)} samples are different, too few for {cells} cells; "
            "use fewer cells or halton centroids"
        )
    return points


def _in_unit_cube(name: str, points: ArrayLike) -> Float64[np.ndarray, "n dims"]:
    array = np.ascontiguousarray(points, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must be a table [n, dims] with at least one row, got shape {array.shape}")
    outside = np.flatnonzero(~((array >= 0) & (array <= 1)).all(axis=1))
    if len(outside):
        row = int(outside[0])
        raise ValueError(
            f"{name} must lie in the unit cube, but row {row} is {array[row].tolist()}; "
            "map raw measures with Ranges.behaviours"
        )
    return array
