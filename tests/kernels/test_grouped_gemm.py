import inspect
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from kernels.grouped_gemm import grouped_gemm, torch_products
from kernels.grouped_gemm.gradients import Products, differentiable
from tests.kernels.grouped_cases import (
    CASES,
    LAYOUTS,
    assert_a_nan_stays_in_its_group,
    assert_as_exact_as_plain_torch,
    assert_repeatable,
    by_rows,
    drawn,
    errors,
    exact,
    results,
)

PATHS = ("auto", "reference", "torch")
WIDTHS = (8, 16, 40, 64, 128)
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_path = pytest.mark.parametrize("backend", PATHS)
# The shapes in its signature are checked only while tests run, before its own door would speak.
as_users_call_it = inspect.unwrap(grouped_gemm)


@pytest.fixture
def poisoned(monkeypatch):
    """New memory is full of NaN."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    assert torch.empty(4).isnan().all()


@pytest.mark.usefixtures("poisoned")
@every_path
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@every_case
def test_each_row_meets_the_matrix_of_its_group_forward_and_backward(case, dtype, backend):
    inputs = drawn(*case, dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-4
    found = results(grouped_gemm, *inputs, backend=backend)
    for each, wanted in zip(found, exact(*inputs), strict=True):
        assert each.dtype == dtype
        torch.testing.assert_close(each.double(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("inner", WIDTHS)
def test_every_width_errs_at_most_twice_as_much_as_a_plain_loop(inner, columns):
    assert_as_exact_as_plain_torch(grouped_gemm, *drawn((65, 0, 63), inner, columns, torch.float32))


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    inner=st.integers(1, 9),
    columns=st.integers(1, 9),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_any_partition_of_the_rows_is_multiplied_group_by_group(sizes, inner, columns, dtype):
    inputs = drawn(tuple(sizes), inner, columns, dtype)
    assert max(errors(results(grouped_gemm, *inputs), exact(*inputs))) < 2e-5


@every_path
def test_gradients_of_both_orders_are_those_of_finite_differences(backend):
    x, weights, offsets, _ = drawn((3, 0, 1, 2), 3, 2)

    def product(x, weights):
        return grouped_gemm(x, weights, offsets, backend=backend)

    inputs = (x.requires_grad_(), weights.requires_grad_())
    assert torch.autograd.gradcheck(product, inputs)
    assert torch.autograd.gradgradcheck(product, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@every_case
def test_it_errs_at_most_twice_as_much_as_a_plain_loop_of_the_same_precision(case, dtype):
    inputs = drawn(*case, dtype)
    wanted = exact(*inputs)
    fast, plain = (
        errors(results(grouped_gemm, *inputs, backend=path), wanted) for path in ("torch", "reference")
    )
    assert all(f <= 2 * p for f, p in zip(fast, plain, strict=True)), (fast, plain)


@pytest.mark.parametrize("case", ["several tiles", "aligned"])
def test_fifty_repeats_give_the_same_bits(case):
    assert_repeatable(grouped_gemm, *drawn(*CASES[case], torch.float32), repeats=50)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("case", ["aligned", "empty groups", "uneven"])
def test_strides_and_alignment_change_nothing(case, layout):
    x, weights, offsets, grad = drawn(*CASES[case], torch.float32)
    wanted = exact(x, weights, offsets, grad)
    wide = torch.stack([offsets, -offsets], 1)[:, 0]
    found = results(grouped_gemm, layout(x), layout(weights), wide, layout(grad))
    assert max(errors(found, wanted)) < 2e-5


@pytest.mark.parametrize("axis", [0, 1])
def test_expanded_inputs_and_gradients_are_multiplied_as_their_copies(axis):
    x, weights, offsets, grad = drawn(*CASES["aligned"], torch.float32)
    rows, ones = (each.narrow(axis, 0, 1).clone().expand_as(each) for each in (x, grad))
    same = weights[:1].expand_as(weights)
    found = results(grouped_gemm, rows, same, offsets, ones)
    assert max(errors(found, exact(rows, same, offsets, ones))) < 2e-4


@pytest.mark.parametrize("transposed", [False, True])
def test_windows_that_share_memory_are_multiplied_as_their_copies(transposed):
    _, weights, offsets, grad = drawn((8, 0, 8), 16, 8, torch.float32)
    windows = torch.randn(76, generator=torch.Generator().manual_seed(1)).unfold(0, 16, 4)
    x = windows.mT if transposed else windows
    found = results(grouped_gemm, x, weights, offsets, grad)
    assert max(errors(found, exact(x, weights, offsets, grad))) < 2e-5


@pytest.mark.parametrize("case", ["aligned", "uneven"])
def test_a_nan_stays_in_its_group(case):
    assert_a_nan_stays_in_its_group(grouped_gemm, *drawn(*CASES[case], torch.float32))


@pytest.mark.parametrize("needed", ["x", "weights"])
def test_only_the_gradient_that_is_asked_for_is_computed(needed):
    calls = []

    def counted(name):
        return lambda *given: calls.append(name) or getattr(torch_products.PRODUCTS, name)(*given)

    x, weights, offsets, grad = drawn(*CASES["uneven"])
    _, *wanted = exact(x, weights, offsets, grad)
    leaf = {"x": x, "weights": weights}[needed].requires_grad_()
    y = differentiable(Products(counted("rows"), counted("outer")), x, weights, offsets)
    (found,) = torch.autograd.grad(y, leaf, grad)
    torch.testing.assert_close(found, wanted[needed == "weights"])
    assert calls == ["rows", {"x": "rows", "weights": "outer"}[needed]]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_compiled_code_computes_what_is_computed_without(dtype):
    torch_products._multiplies.cache_clear()
    torch.compiler.reset()
    inputs = drawn(*CASES["aligned"], dtype)
    found = results(torch.compile(as_users_call_it, backend="eager"), *inputs)
    assert all(map(torch.equal, found, results(grouped_gemm, *inputs)))


def test_a_torch_without_grouped_mm_multiplies_per_group(monkeypatch):
    inputs = drawn(*CASES["aligned"], torch.float32)
    monkeypatch.delattr(F, "grouped_mm")
    torch_products._multiplies.cache_clear()
    try:
        assert max(errors(results(grouped_gemm, *inputs), exact(*inputs))) < 2e-5
        assert not torch_products._multiplies(torch.float32)
    finally:
        torch_products._multiplies.cache_clear()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(5)}, "x must have the axes [M, K], but its shape is [5]"),
        ({"weights": torch.zeros(2, 3)}, "weights must have the axes [G, K, N], but its shape is [2, 3]"),
        ({"offsets": torch.tensor([[5]])}, "offsets must have the axes [G], but its shape is [1, 1]"),
        ({"weights": torch.zeros(2, 3, 0)}, "no axis of length 0, but their shape is [2, 3, 0]"),
        ({"weights": torch.zeros(0, 3, 4)}, "no axis of length 0, but their shape is [0, 3, 4]"),
        ({"x": torch.zeros(5, 2)}, "x has 2 columns, but weights multiply 3"),
        ({"offsets": torch.tensor([5])}, "one entry for each of the 2 groups, but have 1"),
        ({"x": torch.zeros(5, 3).long()}, "x must hold floating-point numbers, but its dtype is torch.int64"),
        ({"weights": torch.zeros(2, 3, 4).half()}, "the dtype of x, torch.float32, but have torch.float16"),
        ({"offsets": torch.tensor([2, 5]).int()}, "offsets must be torch.int64, but are torch.int32"),
        ({"offsets": torch.tensor([3, 2])}, "must not decrease, but group 1 starts at row 3 and ends at 2"),
        ({"offsets": torch.tensor([-1, 5])}, "must not decrease, but group 0 starts at row 0 and ends at -1"),
        ({"offsets": torch.tensor([2, 4])}, "offsets must end at 5, the number of rows of x, but end at 4"),
        ({"weights": torch.zeros(2, 3, 4).to("meta")}, "on the device of x, cpu, but is on meta"),
        ({"weights": torch.zeros(1).expand(2, 3, 2**31)}, "takes 40 GiB; at most 16 GiB"),
        ({"x": torch.zeros(1).expand(2**31, 3)}, "x has 2147483648 rows, but at most 2147483647"),
        ({"backend": "tritn"}, "backend is 'tritn', but must be one of auto, reference, torch, triton"),
    ],
)
def test_wrong_inputs_are_refused(change, message):
    given = {
        "x": torch.zeros(5, 3),
        "weights": torch.zeros(2, 3, 4),
        "offsets": torch.tensor([2, 5]),
    } | change
    with pytest.raises(ValueError, match=re.escape(message)):
        as_users_call_it(**given)


def test_by_rows_is_a_loop_over_rows():
    x, weights, offsets, _ = drawn(*CASES["empty groups"])
    owners = [1] * 5 + [4] * 4
    wanted = torch.stack([x[i] @ weights[owner] for i, owner in enumerate(owners)])
    torch.testing.assert_close(by_rows(x, weights, offsets), wanted)


@every_path
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_autocast_has_a_product_in_its_own_dtype_whatever_comes_in(dtype, kind, backend):
    x, weights, offsets, grad = drawn(*CASES["uneven"], torch.float32)
    given = (x.to(dtype), weights)
    low = [tensor.to(kind).float() for tensor in given]
    leaves = [tensor.requires_grad_() for tensor in given]
    with torch.autocast("cpu", dtype=kind):
        y = grouped_gemm(*given, offsets, backend=backend)
    assert y.dtype == kind
    found = [y, *torch.autograd.grad(y, leaves, grad.to(kind))]
    assert [each.dtype for each in found[1:]] == [dtype, torch.float32]
    step = max(torch.finfo(each).eps for each in (kind, dtype))
    for each, wanted in zip(found, exact(*low, offsets, grad.to(kind).float()), strict=True):
        torch.testing.assert_close(each.double(), wanted, rtol=2 * step, atol=2 * step)


def test_autocast_leaves_float64_weights_and_refuses_whole_numbers():
    x, weights, offsets, _ = drawn(*CASES["uneven"], torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(grouped_gemm(x, weights, offsets), grouped_gemm(x, weights, offsets))
        assert grouped_gemm(x.float(), weights, offsets).dtype == torch.float64
        with pytest.raises(
            ValueError, match=r"weights must have the dtype of x, torch\.float64, but have torch\.int64"
        ):
            as_users_call_it(x, weights.long(), offsets)
