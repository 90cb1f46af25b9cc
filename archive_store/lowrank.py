"""Low-rank factorisation by truncated SVD: the form in which a dense matrix enters the archive."""

from dataclasses import dataclass

import numpy as np

from qd.lowrank import signed


@dataclass(frozen=True, slots=True, eq=False)
class Factored:
    """A matrix kept as two factors, ``W ~ U @ V``, with what that cost."""

    U: np.ndarray  # [rows, rank]; the entry of largest magnitude in each column is positive
    V: np.ndarray  # [rank, columns]; row i has the norm of column i of U
    error: float  # ||W - U @ V||_F / ||W||_F of the factors as stored
    bound: float  # the least that any factors of this rank could reach, from the singular values left out

    @property
    def rank(self) -> int:
        """The inner size of the factors."""
        return self.U.shape[1]


def factor(matrix: np.ndarray, rank: int | None = None, energy: float | None = None) -> Factored:
    """Factor a dense matrix by truncated singular value decomposition.

    With ``W = sum_i s_i u_i v_i^T``, singular values falling, the factors are
    ``U[:, i] = sqrt(s_i) u_i`` and ``V[i, :] = sqrt(s_i) v_i^T`` for the first ``rank`` terms, and
    ``bound = sqrt(sum_{i >= rank} s_i^2 / sum_i s_i^2)`` is the relative error of the best
    approximation of that rank. Work is done in float64; `error` exceeds `bound` only by the rounding
    of the factors to the matrix's own precision.

    Parameters
    ----------
    matrix
        Real floating-point array [rows, columns], finite.
    rank
        How many terms to keep, 1 to min(rows, columns).
    energy
        Instead of a rank: the share of ``||W||_F^2`` to keep, in (0, 1]. The smallest rank that keeps it
        is taken, at least 1; an energy of 1 keeps all singular values above the rounding of the largest.

    Raises
    ------
    ValueError
        If the matrix is not two-dimensional, floating, non-empty and finite, if not exactly one of
        rank and energy is given, or if it lies outside its range.

    Source: Eckart & Young, "The approximation of one matrix by another of lower rank", Psychometrika 1,
    1936.
    """
    _check_matrix(matrix)
    scale = float(np.abs(matrix).max()) or 1.0  # squares of very large or small entries would leave float64
    left, values, right = np.linalg.svd(matrix.astype(np.float64) / scale, full_matrices=False)
    kept = _kept(values, rank, energy, float(np.finfo(matrix.dtype).eps) * max(matrix.shape))
    left, right = signed(left[:, :kept], right[:kept])
    root = np.sqrt(values[:kept]) * np.sqrt(scale)
    U = np.ascontiguousarray((left * root).astype(matrix.dtype))
    V = np.ascontiguousarray((root[:, None] * right).astype(matrix.dtype))
    total = float(np.linalg.norm(values)) or 1.0
    return Factored(
        U, V, _residual(matrix, U, V) / scale / total, float(np.linalg.norm(values[kept:])) / total
    )


def reconstruct(factored: Factored) -> np.ndarray:
    """Multiply the factors back, ``U @ V`` [rows, columns], in float64 and rounded once."""
    return (factored.U.astype(np.float64) @ factored.V.astype(np.float64)).astype(factored.U.dtype)


def _check_matrix(matrix: np.ndarray) -> None:
    if matrix.ndim != 2 or not matrix.size or not np.issubdtype(matrix.dtype, np.floating):
        raise ValueError(
            "factor() needs a non-empty two-dimensional array of floats; "
            f"it got shape {matrix.shape} of {matrix.dtype}; reshape or convert it"
        )
    if not np.isfinite(matrix).all():
        bad = int(matrix.size - np.isfinite(matrix).sum())
        raise ValueError(
            f"factor() needs finite entries; {bad} of {matrix.size} are not; do not archive this matrix"
        )


def _kept(values: np.ndarray, rank: int | None, energy: float | None, rounding: float) -> int:
    if (rank is None) == (energy is None):
        raise ValueError(f"factor() takes either a rank or an energy; it got rank={rank} and energy={energy}")
    if rank is not None:
        if not 1 <= rank <= len(values):
            raise ValueError(f"rank must be from 1 to {len(values)}, the matrix's smaller side; it is {rank}")
        return rank
    assert energy is not None
    if not 0 < energy <= 1:
        raise ValueError(
            f"energy must lie in (0, 1]; it is {energy}; give the share of the squared norm to keep"
        )
    squares = np.where(values > rounding * values[0], values, 0.0) ** 2
    left_out = np.append(np.cumsum(squares[::-1])[::-1], 0.0)  # [k]: the squared norm that rank k leaves out
    return max(1, int(np.argmax(left_out <= (1 - energy) * left_out[0])))


def _residual(matrix: np.ndarray, U: np.ndarray, V: np.ndarray) -> float:
    return float(np.linalg.norm(matrix.astype(np.float64) - U.astype(np.float64) @ V.astype(np.float64)))
