import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from archive_store.lowrank import factor, reconstruct

MATRICES = st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-1e6, 1e6, width=32))
)


def decaying(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = min(rows, columns)
    left = np.linalg.qr(rng.normal(size=(rows, size)))[0]
    right = np.linalg.qr(rng.normal(size=(columns, size)))[0]
    return left * 0.5 ** np.arange(size) @ right.T


def test_error_of_a_known_spectrum_is_its_tail():
    # Singular values 1, 1/2, 1/4, ...: the squared tail after k is a geometric series.
    values = 0.5 ** np.arange(6)
    for rank in range(1, 7):
        tail = np.sqrt(np.sum(values[rank:] ** 2) / np.sum(values**2))
        found = factor(decaying(9, 6), rank=rank)
        assert found.rank == rank
        assert found.bound == pytest.approx(tail, abs=1e-12)
        assert found.error == pytest.approx(tail, abs=1e-12)


@given(MATRICES, st.data())
@settings(max_examples=100, deadline=None)
def test_error_reaches_the_eckart_young_bound_and_no_other_factors_do_better(matrix, data):
    rank = data.draw(st.integers(1, min(matrix.shape)))
    found = factor(matrix, rank=rank)
    norm = np.linalg.norm(matrix)
    tail = np.linalg.norm(np.linalg.svd(matrix, compute_uv=False)[rank:])
    assert found.bound * norm == pytest.approx(tail, abs=1e-9 * (norm or 1))
    assert found.error == pytest.approx(np.linalg.norm(matrix - reconstruct(found)) / (norm or 1), abs=1e-12)
    assert found.error <= found.bound + 1e-12
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    other = rng.normal(size=(matrix.shape[0], rank))
    best_with_other_columns = other @ np.linalg.lstsq(other, matrix, rcond=None)[0]
    assert np.linalg.norm(matrix - best_with_other_columns) >= (found.bound - 1e-9) * norm


@given(MATRICES, st.floats(0.01, 1))
@settings(max_examples=100, deadline=None)
def test_energy_takes_the_smallest_rank_that_keeps_it(matrix, energy):
    found = factor(matrix, energy=energy)
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    total, slack = squares.sum(), 1e-9 * squares.sum()
    assert squares[: found.rank].sum() >= energy * total - slack
    assert found.rank == 1 or squares[: found.rank - 1].sum() < energy * total + slack


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_scale_changes_nothing_but_the_factors(scale):
    found = factor(scale * decaying(5, 8), rank=2)
    same = factor(decaying(5, 8), rank=2)
    assert found.error == pytest.approx(same.error, rel=1e-9)
    np.testing.assert_allclose(found.U / np.sqrt(scale), same.U, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 63), (63, 1), (100, 63)])
def test_factors_are_signed_balanced_contiguous_and_of_the_matrix_precision(shape):
    matrix = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    found = factor(matrix, rank=1)
    for factors_ in (found, factor(-matrix, rank=1)):
        columns = np.arange(factors_.rank)
        assert (factors_.U[np.abs(factors_.U).argmax(axis=0), columns] > 0).all()
    assert found.U.dtype == found.V.dtype == np.float32
    assert found.U.flags.c_contiguous
    assert found.V.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(found.U, axis=0), np.linalg.norm(found.V, axis=1), rtol=1e-5)


def test_the_same_matrix_gives_the_same_bits():
    matrix = np.random.default_rng(2).normal(size=(33, 17)).astype(np.float32)
    one, other = factor(matrix, rank=5), factor(np.asfortranarray(matrix.copy()), rank=5)
    assert one.U.tobytes() == other.U.tobytes()
    assert one.V.tobytes() == other.V.tobytes()


def test_a_product_in_single_precision_has_its_rank_at_full_energy():
    rng = np.random.default_rng(3)
    product = (rng.normal(size=(40, 4)) @ rng.normal(size=(4, 30))).astype(np.float32)
    found = factor(product, energy=1.0)
    assert found.rank == 4
    assert found.error < 1e-6


def test_a_zero_matrix_has_rank_one_and_no_error():
    found = factor(np.zeros((3, 4)), energy=0.9)
    assert (found.rank, found.error, found.bound) == (1, 0.0, 0.0)
    assert not reconstruct(found).any()


@pytest.mark.parametrize(
    "matrix", [np.ones(3), np.ones((0, 3)), np.ones((2, 2), dtype=int), np.ones((1, 2, 3))]
)
def test_refuses_what_is_no_matrix_of_floats(matrix):
    with pytest.raises(ValueError, match="non-empty two-dimensional array of floats; it got shape"):
        factor(matrix, rank=1)


def test_refuses_entries_that_are_not_finite():
    with pytest.raises(ValueError, match="needs finite entries; 2 of 4 are not"):
        factor(np.array([[1.0, np.nan], [np.inf, 1.0]]), rank=1)


@pytest.mark.parametrize("rank", [0, 4, -1])
def test_refuses_a_rank_that_the_matrix_cannot_have(rank):
    with pytest.raises(ValueError, match=f"rank must be from 1 to 3, .* it is {rank}"):
        factor(np.ones((3, 5)), rank=rank)


@pytest.mark.parametrize("energy", [0.0, 1.5, -1.0, float("nan")])
def test_refuses_an_energy_outside_its_range(energy):
    with pytest.raises(ValueError, match=r"energy must lie in \(0, 1\]"):
        factor(np.ones((3, 5)), energy=energy)


@pytest.mark.parametrize("choice", [{}, {"rank": 1, "energy": 0.5}])
def test_refuses_both_or_neither_of_rank_and_energy(choice):
    with pytest.raises(ValueError, match="either a rank or an energy"):
        factor(np.ones((3, 5)), **choice)
