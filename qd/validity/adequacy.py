"""Statistics of a sample of behaviours: sampling adequacy, sphericity and dimension, from correlations.

Nothing here guards against degenerate columns; `qd.validity.verdict` does, before it calls.
"""

import numpy as np
from jaxtyping import Float64, Int64

from qd import seeding

INTERVAL = (0.025, 0.975)  # of the bootstrap's draws: a 95 % interval
USABLE_SHARE = 0.9  # of the draws, below which no interval is given
LARGEST_CONDITION = 1e8  # of a correlation matrix whose inverse is still worth having
EXPLAINED = 0.95  # share of the variance that principal components have to explain
MOST_ROWS = 512  # of a kernel matrix, whose spectrum costs the cube of its rows


def standardised(samples: Float64[np.ndarray, "n p"]) -> Float64[np.ndarray, "n p"]:
    """Return each column shifted to mean 0 and scaled to standard deviation 1 (of the n rows)."""
    scaled = samples / np.abs(samples).max(axis=0)  # first, so that squares cannot overflow
    centred = scaled - scaled.mean(axis=0)
    return centred / centred.std(axis=0)


def correlation(columns: Float64[np.ndarray, "n p"]) -> Float64[np.ndarray, "p p"]:
    """Return Pearson's correlations of standardised columns, exactly 1 on the diagonal."""
    matrix = np.clip(columns.T @ columns / len(columns), -1.0, 1.0)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def kmo(correlations: Float64[np.ndarray, "*draws p p"]) -> Float64[np.ndarray, "*draws"]:
    """Return the Kaiser-Meyer-Olkin measure of each of many correlation matrices.

    ``KMO = sum r_ij^2 / (sum r_ij^2 + sum a_ij^2)`` over ``i != j``, where the partial correlations are
    ``a_ij = -q_ij / sqrt(q_ii q_jj)`` with ``Q`` the inverse of the correlation matrix. NaN where no two
    columns are correlated at all. Of two columns it is 1/2, whatever their correlation: there is nothing
    whose influence could be removed, so ``a_12 = r_12``.

    Parameters
    ----------
    correlations
        Invertible correlation matrices [..., p, p].

    Source: Kaiser, "An index of factorial simplicity", Psychometrika 39, 1974.
    """
    inverse = np.linalg.inv(correlations)
    root = np.sqrt(np.diagonal(inverse, axis1=-2, axis2=-1))
    partial = inverse / (root[..., :, None] * root[..., None, :])
    off_diagonal = ~np.eye(correlations.shape[-1], dtype=bool)
    shared = np.sum(correlations**2, axis=(-2, -1), where=off_diagonal)
    unshared = np.sum(partial**2, axis=(-2, -1), where=off_diagonal)
    with np.errstate(invalid="ignore"):
        return np.asarray(shared / (shared + unshared))


def kmo_interval(
    columns: Float64[np.ndarray, "n p"], groups: np.ndarray, draws: int, seed: int
) -> tuple[float, float] | None:
    """Return a 95 % interval of the KMO, by resampling whole groups with replacement.

    Rows of one organism are not independent, so organisms are drawn, not rows (a cluster bootstrap).
    Each draw is a weighted sum of the groups' moments, so its cost does not grow with the rows. The
    interval is rough for few groups.

    Parameters
    ----------
    columns
        Standardised samples [n, p].
    groups
        The organism of each row [n].
    draws
        How many times the groups are drawn.
    seed
        Seed of the run; the generator is named ``validity:kmo``.

    Returns
    -------
    tuple of float, or None
        The 2.5 % and 97.5 % quantiles, or None with fewer than two groups or when more than a tenth of
        the draws are singular.

    Source: Field & Welsh, "Bootstrapping clustered data", JRSS B 69, 2007; percentile intervals.
    """
    names, members = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return None
    chosen = seeding.generator(seed, 0, "validity:kmo").integers(len(names), size=(draws, len(names)))
    values = _resampled_kmo(columns, members, chosen)
    if len(values) < USABLE_SHARE * draws:
        return None
    low, high = np.quantile(values, INTERVAL)
    return float(low), float(high)


def _resampled_kmo(
    columns: Float64[np.ndarray, "n p"], members: np.ndarray, chosen: Int64[np.ndarray, "draws groups"]
) -> Float64[np.ndarray, " usable"]:
    # Legend: B draws, G groups, P measures.
    draws, groups = chosen.shape
    places = np.arange(draws)[:, None] * groups + chosen
    counts_BG = np.bincount(places.ravel(), minlength=draws * groups).reshape(chosen.shape).astype(np.float64)
    masks = [members == group for group in range(groups)]
    rows_B = counts_BG @ np.array([mask.sum() for mask in masks], dtype=np.float64)
    means_BP = counts_BG @ np.stack([columns[mask].sum(axis=0) for mask in masks]) / rows_B[:, None]
    squares_GPP = np.stack([columns[mask].T @ columns[mask] for mask in masks])
    covariance_BPP = np.tensordot(counts_BG, squares_GPP, 1) / rows_B[:, None, None]
    covariance_BPP -= means_BP[:, :, None] * means_BP[:, None, :]
    values = kmo(_usable(covariance_BPP))
    return values[np.isfinite(values)]


def _usable(covariance_BPP: Float64[np.ndarray, "draws p p"]) -> Float64[np.ndarray, "usable p p"]:
    variance_BP = np.diagonal(covariance_BPP, axis1=1, axis2=2)
    varied = (variance_BP > 1 / LARGEST_CONDITION).all(axis=1)  # the columns' variance over all rows is 1
    root_BP = np.sqrt(variance_BP[varied])
    correlations = covariance_BPP[varied] / (root_BP[:, :, None] * root_BP[:, None, :])
    spectra = np.linalg.eigvalsh(correlations)
    return correlations[spectra[:, -1] < LARGEST_CONDITION * spectra[:, 0]]


def sampling_adequacy(columns: Float64[np.ndarray, "n p"]) -> tuple[float, Float64[np.ndarray, " p"]]:
    """Return the KMO and each measure's MSA [p], as factor-analyzer computes them.

    The MSA of a measure that is correlated with no other is NaN.

    Parameters
    ----------
    columns
        Standardised samples [n, p], p >= 3 and n > p + 1, whose correlation matrix is well conditioned.

    Source: Kaiser 1974.
    """
    from factor_analyzer import calculate_kmo  # over a second to import

    # factor-analyzer swaps in a pseudo-inverse when the determinant of the *covariance* is small, whatever
    # the conditioning. KMO does not depend on scale, so it is given columns whose determinant is 1.
    log_determinant = np.linalg.slogdet(np.cov(columns.T))[1]
    scaled = columns * np.exp(-log_determinant / (2 * columns.shape[1]))
    with np.errstate(invalid="ignore"):
        msa, total = calculate_kmo(scaled)
    return float(total), np.asarray(msa, dtype=np.float64)


def sphericity(columns: Float64[np.ndarray, "n p"]) -> tuple[float, float]:
    """Return chi2 and p value of Bartlett's test of sphericity, as factor-analyzer computes them.

    ``chi2 = -(n - 1 - (2p + 5) / 6) ln det R`` with ``p (p - 1) / 2`` degrees of freedom, R the correlation
    matrix. Of two columns it tests the one correlation, ``det R = 1 - r^2``, with one degree of freedom.

    Parameters
    ----------
    columns
        Standardised samples [n, p], p >= 2 and n > p + 1, whose correlation matrix is well conditioned.

    Source: Bartlett, "Tests of significance in factor analysis", 1950.
    """
    from factor_analyzer import calculate_bartlett_sphericity  # over a second to import

    chi2, p_value = calculate_bartlett_sphericity(columns)
    return float(chi2), float(p_value)


def largest_correlation(correlations: Float64[np.ndarray, "p p"]) -> float:
    """Return the size of the closest correlation between two different measures."""
    return float(np.abs(correlations - np.eye(len(correlations))).max())


def effective_dimension(correlations: Float64[np.ndarray, "p p"]) -> float:
    """Return how many independent measures the correlated ones amount to: the participation ratio.

    ``(sum_i l_i)^2 / sum_i l_i^2`` over the eigenvalues ``l_i`` of the correlation matrix, which is
    ``p^2 / sum_ij r_ij^2``: p for uncorrelated measures, 1 for copies of one.

    Source: Bell & Dean, "Atomic vibrations in vitreous silica", 1970, for the ratio.
    """
    return float(len(correlations) ** 2 / np.sum(correlations**2))


def principal_components(correlations: Float64[np.ndarray, "p p"]) -> int:
    """Return how many principal components of the measures explain 95 % of their variance, in 1 to p."""
    return _explaining(np.linalg.eigvalsh(correlations))


def kernel_components(columns: Float64[np.ndarray, "n p"]) -> int:
    """Return how many kernel principal components explain 95 % of the variance, with ``exp(-|x - y|^2 / p)``.

    Components of a space of functions of the measures: as many more than `principal_components` as the sample fills its
    space in curved ways. Of more than 512 rows every second, third, ... is taken. At most as many as rows.

    Parameters
    ----------
    columns
        Standardised samples [n, p].

    Source: Schoelkopf, Smola & Mueller, "Nonlinear component analysis as a kernel eigenvalue problem", Neural
    Computation 10, 1998; scikit-learn's `KernelPCA` has the same kernel by default.
    """
    rows = columns[:: -(-len(columns) // MOST_ROWS)]
    power = np.square(rows).sum(axis=1)
    apart = np.maximum(power[:, None] + power - 2 * rows @ rows.T, 0.0)
    gram = np.exp(-apart / rows.shape[1])
    mean = gram.mean(axis=0)
    return _explaining(np.linalg.eigvalsh(gram - mean[:, None] - mean + mean.mean()))


def _explaining(spectrum: Float64[np.ndarray, " p"]) -> int:
    """Return how many of the largest eigenvalues make 95 % of their sum."""
    shares = np.cumsum(np.maximum(spectrum[::-1], 0.0))
    return int(np.searchsorted(shares, EXPLAINED * shares[-1])) + 1
