import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from organisms.experts.dispatch.placement import Placement, collected, spread
from tests.organisms.layers.definitions import drawn


def placed(places, count):
    """Place rows, which are added up in their own order."""
    place_M = torch.tensor(places, dtype=torch.int64)
    rows_M = torch.sort(place_M, stable=True).indices
    rank_M = torch.empty_like(rows_M)
    rank_M[rows_M] = torch.arange(len(places))
    counts_N = torch.bincount(place_M, minlength=count)
    return Placement(place_M, rows_M, rank_M, counts_N.cumsum(0) - counts_N)


def matrix(placement):
    """The same as a matrix of zeros and ones, [M, N]."""
    return (placement.place_M[:, None] == torch.arange(len(placement.starts_N))).double()


some_places = st.integers(1, 6).flatmap(
    lambda count: st.tuples(st.lists(st.integers(0, count - 1), max_size=12), st.just(count))
)


@given(some_places)
def test_both_moves_are_products_with_one_matrix_of_zeros_and_ones(case):
    placement = placed(*case)
    x, rows, weights = drawn(case[1], 3), drawn(len(case[0]), 3, seed=1), drawn(len(case[0]), seed=2)
    torch.testing.assert_close(spread(x, placement), matrix(placement) @ x)
    torch.testing.assert_close(collected(rows, placement), matrix(placement).T @ rows)
    weighted = rows * weights[placement.rank_M][:, None]
    torch.testing.assert_close(collected(rows, placement, weights), matrix(placement).T @ weighted)


@pytest.mark.parametrize("wanted", ["rows", "weights", "both"])
def test_gradients_of_both_orders_are_those_of_finite_differences(wanted):
    placement = placed([2, 0, 2, 3, 0, 2], 5)
    x, rows, weights = drawn(5, 2).requires_grad_(), drawn(6, 2, seed=1), drawn(6, seed=2)
    rows.requires_grad_(wanted != "weights")
    weights.requires_grad_(wanted != "rows")
    for function, inputs in (
        (lambda x: spread(x, placement), (x,)),
        (lambda rows: collected(rows, placement), (rows.detach().requires_grad_(),)),
        (lambda rows, weights: collected(rows, placement, weights), (rows, weights)),
    ):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_half_precision_is_collected_as_precisely_as_it_can_be_written(dtype):
    placement = placed([0, 1, 0, 0, 1], 2)
    rows, weights = drawn(5, 33).to(dtype), drawn(5, seed=1).to(dtype)
    exact = collected(rows.double(), placement, weights.double())
    found = collected(rows, placement, weights)
    assert found.dtype == dtype
    torch.testing.assert_close(
        found.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=torch.finfo(dtype).eps
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_strides_change_no_bit(dtype):
    placement, weights = placed([0, 1, 2] * 30, 3), drawn(90, seed=1).to(dtype)
    rows = drawn(130, 90).to(dtype).T
    assert torch.equal(
        collected(rows, placement, weights),
        collected(rows.clone(memory_format=torch.contiguous_format), placement, weights),
    )
