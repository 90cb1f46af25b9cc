"""The kernels in Triton's interpreter; tiles are 32 and 64 long there (kernels/attention/triton/tiles.py)."""

from dataclasses import replace

import pytest
import torch

from tests.kernels.attention_by_definition import (
    assert_as_exact,
    by_definition,
    drawn,
    root_mean_square,
    with_hidden_keys,
)
from tests.kernels.interpreted import only_interpreted

only_interpreted()

from kernels.attention.triton import tiles as tiles  # noqa: E402
from kernels.attention.triton.backward import backward  # noqa: E402
from kernels.attention.triton.forward import forward  # noqa: E402

INF = torch.inf
# B, H, S, R, W, and what hides keys. On a line a key at a distance of 9 is outside a window of 9, and on a
# grid one at 3 across and 4 down is outside one of 5. In a window of 0 nobody sees anything.
CASES = [
    ((2, 1, 1, 8, 16), {}),
    ((1, 2, 2, 16, 40), {"causal": True}),
    ((1, 2, 63, 40, 16), {"window": (5.0, INF), "axes": 2}),
    ((2, 2, 64, 64, 8), {"causal": True, "masked": True}),
    ((1, 2, 65, 8, 64), {"window": (4.0, 0.0), "axes": 3, "masked": True}),
    ((1, 2, 100, 16, 16), {"causal": True, "window": (9.0, 40.5)}),
    ((1, 1, 100, 64, 64), {}),
    ((2, 1, 100, 8, 8), {"masked": True, "axes": 2}),
    ((1, 2, 127, 128, 64), {"window": (1.0, 128.0)}),
    ((1, 1, 257, 40, 128), {"causal": True}),
]
DTYPES = [torch.float32, torch.float16]


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """New tensors hold NaN until something is written there."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    assert torch.empty(3).isnan().all()


def passes(case, statistics=False):
    output, lse, per_query = forward(case.q, case.k, case.v, *case.seeing, statistics)
    return output, lse, per_query, backward(case.grad, case.q, case.k, case.v, output, lse, *case.seeing)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("sizes", "hidden"), CASES)
def test_output_and_gradients_err_at_most_twice_as_much_as_plain_torch(sizes, hidden, dtype):
    case = drawn(sizes, dtype, **hidden)
    exact, plain = by_definition(case), by_definition(case, dtype)
    output, lse, per_query, gradients = passes(case)
    assert per_query is None
    assert {tensor.dtype for tensor in (output, *gradients)} == {dtype}
    assert_as_exact(output, plain.output, exact.output)
    blind = exact.lse == -INF
    # The backward pass makes the weights again from a log-sum-exp in float32: they err by its rounding.
    rounding = 2**-24 * root_mean_square(exact.lse[~blind])
    for found, other, wanted in zip(gradients, plain.gradients, exact.gradients, strict=True):
        assert_as_exact(found, other, wanted, 2e-7 + rounding * root_mean_square(wanted))
    torch.testing.assert_close(lse.double(), exact.lse, rtol=1e-6, atol=1e-5)
    assert torch.equal(lse == -INF, blind)
    assert not output[blind].any()
    assert not gradients[0][blind].any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("sizes", "hidden"), CASES)
def test_statistics_are_those_of_the_whole_matrix(sizes, hidden, dtype):
    case = drawn(sizes, dtype, **hidden)
    exact = by_definition(case)
    output, lse, found = forward(case.q, case.k, case.v, *case.seeing, True)
    torch.testing.assert_close(found.double(), exact.statistics, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(lse.double(), exact.lse, rtol=1e-6, atol=1e-5)
    assert_as_exact(output, by_definition(case, dtype).output, exact.output)


def test_two_of_the_cases_have_queries_that_see_nothing():
    blind = [bool((by_definition(drawn(sizes, **hidden)).lse == -INF).any()) for sizes, hidden in CASES]
    assert blind == [False, False, False, True, True, False, False, False, False, False]


@pytest.mark.parametrize("far", [1.0, 500.0])
def test_a_head_that_looks_sharply_at_a_far_key_has_its_distance_as_span_and_no_locality(far):
    S = 70
    case = drawn((1, 1, S, 8, 8))
    case.q.fill_(0.0)[..., 0] = 100.0
    case.k.fill_(0.0)[:, :, S - 1, 0] = 100.0
    case.positions.mul_(far)
    _, _, found = forward(case.q, case.k, case.v, *case.seeing, True)
    span, locality, entropy, squares, largest = found[:, 0, 0]
    torch.testing.assert_close(span, far * torch.arange(S - 1, -1, -1.0))
    assert torch.equal(torch.stack([locality, entropy]), torch.zeros(2, S))
    assert torch.equal(torch.stack([squares, largest]), torch.ones(2, S))


def test_two_equal_keys_in_different_tiles_are_half_their_distance_from_their_middle():
    case = drawn((1, 1, 70, 8, 8))
    case.q.fill_(0.0)[..., 0] = 100.0
    case.k.fill_(0.0)[:, :, [3, 69], 0] = 100.0
    _, _, found = forward(case.q, case.k, case.v, *case.seeing, True)
    wanted = torch.tensor([33.0, torch.log(torch.tensor(2.0)), 0.5, 0.5])
    torch.testing.assert_close(found[1:, 0, 0], wanted[:, None].expand(4, 70))


def test_scores_far_beyond_the_range_of_exp_are_no_trouble():
    case = drawn((1, 2, 65, 8, 8), causal=True)
    case = replace(case, scale=torch.tensor([200.0, -200.0]))
    exact = by_definition(case)
    assert exact.lse.abs().max() > 1000
    output, lse, found, gradients = passes(case, statistics=True)
    wanted = (exact.output, exact.lse, exact.statistics, *exact.gradients)
    for one, other in zip((output, lse, found, *gradients), wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-3)


def test_what_the_mask_hides_may_be_anything():
    case = drawn((2, 1, 40, 8, 8), masked=True)
    results = [passes(with_hidden_keys(case, value), statistics=True) for value in (0.0, torch.nan)]
    (*before, grads), (*after, other_grads) = results
    assert all(torch.equal(a, b) for a, b in zip((*before, *grads), (*after, *other_grads), strict=True))
    for gradient in grads[1:]:
        assert not gradient.mT[(case.key_mask == 0)[:, None, None].expand_as(gradient.mT)].any()


def test_repeats_give_the_same_bits():
    case = drawn((1, 1, 100, 16, 8), causal=True, window=(9.0,))
    first, second = ((*rest, *grads) for *rest, grads in (passes(case, statistics=True) for _ in range(2)))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("causal", [False, True])
def test_other_tiles_give_the_same_answer(causal, monkeypatch):
    case = drawn((1, 2, 100, 16, 8), causal=causal)
    exact = by_definition(case)
    turned = {name: tiles.Tiles(each.keys, each.queries, 1, 1) for name, each in tiles.INTERPRETED.items()}
    monkeypatch.setattr(tiles, "INTERPRETED", turned)
    output, lse, found, gradients = passes(case, statistics=True)
    plain_output, _, _ = forward(case.q, case.k, case.v, *case.seeing, False)
    wanted = (exact.output, exact.output, exact.lse, exact.statistics, *exact.gradients)
    for one, other in zip((output, plain_output, lse, found, *gradients), wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("R", "W"), [(129, 8), (8, 129)])
def test_wider_heads_are_refused(R, W):
    case = drawn((1, 1, 2, R, W))
    with pytest.raises(ValueError, match="a head is 129 wide, but the Triton kernels go up to 128"):
        forward(case.q, case.k, case.v, *case.seeing, False)
    with pytest.raises(ValueError, match="a head is 129 wide, but the Triton kernels go up to 128"):
        backward(case.grad, case.q, case.k, case.v, case.v, torch.zeros(1, 1, 2), *case.seeing)


@pytest.mark.parametrize(("width", "wanted"), [(1, 16), (16, 16), (17, 32), (33, 64), (65, 128), (128, 128)])
def test_widths_are_padded_to_those_of_the_table(width, wanted):
    assert tiles.padded(width) == wanted
    assert all(wanted in sizes for kernel in tiles.TILES.values() for sizes in kernel.values())
