"""Products of two thin matrices, and the best of their factors: the singular value decomposition of what they give."""

import numpy as np


def refactored(U: np.ndarray, V: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the balanced factors of the best approximation of ``U @ V`` of a rank, without forming it.

    With ``U = Q R`` and ``V^T = P S`` (reduced), the decomposition of the small matrix ``R S^T`` gives that of
    ``U V = Q (R S^T) P^T``.

    Parameters
    ----------
    U, V
        [rows, inner] and [inner, columns], float64 and finite.
    rank
        Terms to keep, at least 1; no more than ``min(rows, inner, columns)`` are.
    """
    outer, upper = np.linalg.qr(U)
    across, lower = np.linalg.qr(V.T)
    left, values, right = np.linalg.svd(upper @ lower.T, full_matrices=False)
    kept = min(rank, len(values))
    left, right = signed(outer @ left[:, :kept], right[:kept] @ across.T)
    root = np.sqrt(values[:kept])
    return left * root, root[:, None] * right


def signed(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of singular vectors whose largest entry on the left is positive.

    A decomposition fixes each pair only up to a common sign, which differs between libraries.

    Parameters
    ----------
    left, right
        [rows, k] and [k, columns].
    """
    peaks = left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])]
    signs = np.where(peaks < 0, -1.0, 1.0)
    return left * signs, right * signs[:, None]
