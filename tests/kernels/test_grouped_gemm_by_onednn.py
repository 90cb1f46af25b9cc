import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import onednn
from kernels.grouped_gemm import grouped_gemm, onednn_products, reference, torch_products
from kernels.grouped_gemm.gradients import differentiable
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

pytestmark = pytest.mark.skipif(not onednn.available(), reason="torch was built without oneDNN")
LARGE = ((1000, 0, 3, 1100, 64, 63, 1), 24, 40)  # more rows than a block has, and fewer than a step


def by_onednn(x, weights, offsets):
    return differentiable(onednn_products.PRODUCTS, x, weights, offsets)


@pytest.mark.parametrize("case", [*CASES.values(), LARGE], ids=[*CASES, "large"])
def test_product_and_gradients_err_at_most_twice_as_much_as_plain_torch(case, monkeypatch):
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    assert torch.empty(4).isnan().all()
    # oneDNN adds up one product after the other, as `by_rows` does. So need not MKL, which is behind the loop over
    # groups: on AMD's Zen 3 it cuts sums after 192 products, which halves the error of sums of a thousand.
    plain = (reference.grouped_gemm, by_rows)
    assert_as_exact_as_plain_torch(by_onednn, *drawn(*case, torch.float32), plain)


def test_relative_errors_stay_under_two_millionths_in_long_sums():
    inputs = drawn((3000, 100), 8, 1500, torch.float32)
    pairs = zip(results(by_onednn, *inputs), exact(*inputs), strict=True)
    assert all((found - wanted).norm() <= 2e-6 * wanted.norm() for found, wanted in pairs)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=6))
@settings(max_examples=30)
def test_any_partition_of_the_rows_is_multiplied_group_by_group(sizes):
    inputs = drawn(tuple(sizes), 5, 3, torch.float32)
    assert max(errors(results(by_onednn, *inputs), exact(*inputs))) < 1e-4


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("case", ["aligned", "several tiles"])
def test_strides_and_alignment_change_nothing(case, layout):
    x, weights, offsets, grad = drawn(*CASES[case], torch.float32)
    wanted = exact(x, weights, offsets, grad)
    found = results(by_onednn, layout(x), layout(weights), offsets, layout(grad))
    assert max(errors(found, wanted)) < 1e-4


def test_inputs_that_share_memory_are_multiplied_as_their_copies():
    _, weights, offsets, _ = drawn((70, 0, 80), 16, 8, torch.float32)
    x = torch.randn(612, generator=torch.Generator().manual_seed(1)).unfold(0, 16, 4)
    same, ones = weights[:1].expand_as(weights), torch.ones(1, 1).expand(150, 8)
    assert max(errors(results(by_onednn, x, same, offsets, ones), exact(x, same, offsets, ones))) < 1e-4


@pytest.mark.parametrize("case", [CASES["uneven"], CASES["several tiles"], LARGE])
def test_a_nan_stays_in_its_group_although_other_groups_rows_are_multiplied_too(case):
    sizes, *widths = case
    assert_a_nan_stays_in_its_group(by_onednn, *drawn((sizes[0], 70, *sizes[1:]), *widths, torch.float32))


def test_fifty_repeats_give_the_same_bits():
    assert_repeatable(by_onednn, *drawn(*LARGE, torch.float32), repeats=50)


@given(st.lists(st.integers(0, 700), min_size=1, max_size=8))
@settings(max_examples=30)
def test_batches_of_any_sizes_show_onednn_few_shapes(sizes):
    inputs, rows, sums = drawn((*sizes, 64), 2, 2, torch.float32), set(), set()
    product = onednn.product
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onednn, "product", lambda x, w: rows.add(len(x)) or product(x, w))
        patch.setattr(onednn, "outer", lambda x, y: sums.add(len(x)) or x.mT @ y)
        results(by_onednn, *inputs)
    assert rows <= set(range(64, 1025, 64))
    assert all(length % 64 == 0 for length in sums)


@pytest.mark.parametrize(
    ("rows", "inner", "columns", "dtype", "faster", "taken"),
    [
        (1024, 128, 128, torch.float32, True, True),
        (1024, 128, 128, torch.float32, False, False),
        (1024, 128, 128, torch.float64, True, False),
        (1023, 128, 128, torch.float32, True, False),  # few products
        (2048, 127, 128, torch.float32, True, False),  # a narrow matrix
        (2048, 128, 127, torch.float32, True, False),
        (256, 256, 256, torch.float32, True, True),
        (255, 256, 512, torch.float32, True, False),  # few rows
    ],
)
def test_it_is_taken_where_groups_are_large_enough_and_onednn_is_faster(
    rows, inner, columns, dtype, faster, taken, monkeypatch
):
    monkeypatch.setattr(onednn, "faster", lambda: faster)
    inputs = drawn((rows - 9, rows + 9), inner, columns, dtype)[:3]
    library = onednn_products if taken else torch_products
    assert torch.equal(grouped_gemm(*inputs), library.PRODUCTS.rows(*inputs))
    called = []
    monkeypatch.setattr(onednn, "product", lambda x, w: called.append(1) or x @ w.mT)
    grouped_gemm(*inputs)
    assert bool(called) is taken
