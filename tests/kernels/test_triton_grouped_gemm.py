"""The grouped product in Triton's interpreter; a tile there is as large as on a GPU."""

from functools import partial

import pytest
import torch

from tests.kernels.grouped_cases import (
    CASES,
    assert_a_nan_stays_in_its_group,
    assert_as_exact_as_plain_torch,
    assert_repeatable,
    drawn,
    errors,
    exact,
    results,
)
from tests.kernels.interpreted import only_interpreted

only_interpreted()

from kernels.grouped_gemm import grouped_gemm  # noqa: E402
from kernels.grouped_gemm.triton_products import PRODUCTS  # noqa: E402


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_product_and_gradients_err_at_most_twice_as_much_as_plain_torch(case, dtype, monkeypatch):
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    assert_as_exact_as_plain_torch(partial(grouped_gemm, backend="triton"), *drawn(*case, dtype))


def test_any_strides_are_multiplied_as_they_are():
    x, weights, offsets, grad = drawn(*CASES["empty groups"], torch.float32)
    wanted = exact(x, weights, offsets, grad)
    wide = torch.stack([offsets, -offsets], 1)[:, 0]
    found = results(
        grouped_gemm,
        x.mT.contiguous().mT,
        weights.mT.contiguous().mT,
        wide,
        grad.mT.contiguous().mT,
        backend="triton",
    )
    assert max(errors(found, wanted)) < 2e-5
    ones = torch.ones(1, 1).expand_as(grad)
    found = results(grouped_gemm, x, weights, offsets, ones, backend="triton")
    assert max(errors(found, exact(x, weights, offsets, ones))) < 2e-5


def test_a_nan_stays_in_its_group():
    inputs = drawn(*CASES["uneven"], torch.float32)
    assert_a_nan_stays_in_its_group(grouped_gemm, *inputs, backend="triton")


def test_repeats_give_the_same_bits():
    """A few, because the interpreter is slow and runs one program after another; on a GPU there are fifty."""
    assert_repeatable(grouped_gemm, *drawn((3, 0, 40), 33, 5, torch.float32), repeats=5, backend="triton")


def test_the_gradient_of_a_gradient_is_that_of_plain_torch():
    x, weights, offsets, grad = drawn(*CASES["uneven"], torch.float32)

    def of_squares(backend):
        inputs = [tensor.clone().requires_grad_() for tensor in (x, weights, grad)]
        y = grouped_gemm(*inputs[:2], offsets, backend=backend)
        first = torch.autograd.grad(y, inputs[:2], inputs[2], create_graph=True)
        return torch.autograd.grad(sum(each.square().sum() for each in first), inputs)

    torch.testing.assert_close(of_squares("triton"), of_squares("reference"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ends", [(3, 2, 9), (-4, 2, 400), (9, 9, -1), (1, 1, 5)])
def test_wrong_offsets_never_reach_outside_the_tensors(ends, monkeypatch):
    """By the kernels themselves: the door of CPU tensors would refuse them."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    x, weights, _, grad = drawn((3, 3, 3), 4, 5, torch.float32)
    offsets = torch.tensor(ends)
    x_in, grad_in = (surrounded_by_nan(tensor) for tensor in (x, grad))
    assert PRODUCTS.outer(x_in, grad_in, offsets).isfinite().all()
    y = PRODUCTS.rows(x_in, weights, offsets)
    distances = (x @ weights - y).abs().amax(-1).amin(0)  # of each row from its product with any matrix
    assert (y.isnan().all(1) | (distances < 1e-5)).all()
    assert y[max(ends) :].isnan().all()


def surrounded_by_nan(tensor):
    wide = torch.full((500, tensor.shape[1]), torch.nan)
    rows = wide[50 : 50 + len(tensor)]
    rows.copy_(tensor)
    return rows
