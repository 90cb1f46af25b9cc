import numpy as np
import pytest

from qd.lowrank import refactored


@pytest.mark.parametrize(
    ("rows", "inner", "columns"), [(64, 32, 64), (5, 8, 7), (6, 2, 9), (1, 1, 4), (4, 6, 4)]
)
@pytest.mark.parametrize("rank", [1, 2, 3, 40])
def test_factors_of_a_product_are_those_of_the_matrix_without_forming_it(rows, inner, columns, rank):
    rng = np.random.default_rng(rows)
    U, V = rng.normal(size=(rows, inner)), rng.normal(size=(inner, columns))
    left, right = refactored(U, V, rank)
    kept = min(rank, rows, inner, columns)
    assert (left.shape, right.shape) == ((rows, kept), (kept, columns))
    wanted = np.linalg.svd(U @ V, full_matrices=False)
    np.testing.assert_allclose(
        left @ right, wanted[0][:, :kept] * wanted[1][:kept] @ wanted[2][:kept], atol=1e-10
    )
    np.testing.assert_allclose(np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=1))
    assert (left[np.abs(left).argmax(axis=0), np.arange(kept)] > 0).all()


def test_more_terms_than_the_product_has_are_none():
    left, right = refactored(np.ones((3, 2)), np.ones((2, 4)), 9)
    assert (left.shape, right.shape) == ((3, 2), (2, 4))
