"""What only a GPU can show of the attention kernels: bfloat16, the table's own tiles, many programs at once."""

import math
import os

import pytest
import torch

from tests.kernels.attention_by_definition import Case, assert_as_exact, by_definition, drawn
from tests.kernels.interpreted import SWITCH

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(os.environ.get(SWITCH) == "1", reason="Triton interprets in this process"),
]
INF = torch.inf
DTYPES = [torch.bfloat16, torch.float16, torch.float32]
GIB = 2**30
# What hides keys at each head width: one kind each, because every kind is four more kernels to compile.
KINDS = {
    8: {"masked": True},
    16: {"causal": True, "window": (9.0, INF, 0.0), "axes": 2, "masked": True},
    32: {"causal": True},
    40: {"window": (40.5, INF, 0.0), "axes": 3},
    64: {"causal": True},
    128: {"causal": True, "window": (9.0, INF, 0.0)},
}


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """New tensors hold NaN until something is written there."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    assert torch.empty(3, device="cuda").isnan().all()


def forward(case: Case, statistics: bool = False):
    from kernels.attention.triton.forward import forward

    return forward(case.q, case.k, case.v, *case.seeing, statistics)


def backward(case: Case, output, lse):
    from kernels.attention.triton.backward import backward

    return backward(case.grad, case.q, case.k, case.v, output, lse, *case.seeing)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", KINDS)
@pytest.mark.parametrize("S", [1, 63, 127, 128, 129, 257, 1000])
def test_every_width_and_precision_errs_at_most_twice_as_much_as_plain_torch(S, width, dtype):
    case = drawn((2, 3, S, width, width), dtype, device="cuda", **KINDS[width])
    exact, plain = by_definition(case), by_definition(case, dtype)
    floor = 1e-5 if S == 1 else 1e-6  # the gradient of one weight is a difference of two equal sums
    measured, lse, per_query = forward(case, statistics=True)
    assert_as_exact(measured, plain.output, exact.output, floor)
    torch.testing.assert_close(lse.double(), exact.lse, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(per_query.double(), exact.statistics, rtol=1e-4, atol=1e-4)
    output, lse, _ = forward(case)
    assert_as_exact(output, plain.output, exact.output, floor)
    torch.testing.assert_close(lse.double(), exact.lse, rtol=1e-5, atol=1e-4)
    for found, other, wanted in zip(
        backward(case, output, lse), plain.gradients, exact.gradients, strict=True
    ):
        assert_as_exact(found, other, wanted, floor)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_fifty_repeats_give_the_same_bits(causal, dtype):
    case = drawn((2, 8, 1024, 64, 64), dtype, device="cuda", causal=causal)

    def results():
        output, lse, per_query = forward(case, statistics=True)
        return output, lse, per_query, *forward(case)[:2], *backward(case, output, lse)

    first = results()
    for _ in range(49):
        assert all(torch.equal(a, b) for a, b in zip(first, results(), strict=True))


def test_a_window_has_a_sharp_edge():
    """On a line and on a grid, where every distance in question is a whole number."""
    for axes, window in ((1, 9.0), (2, 5.0)):
        case = drawn((1, 1, 500, 16, 16), device="cuda", window=(window,), axes=axes)
        case.q.zero_()  # each key that is seen has the same weight, whose inverse counts them
        _, _, per_query = forward(case, statistics=True)
        wanted = by_definition(case).statistics[4]
        assert torch.equal((1 / per_query[4]).round(), (1 / wanted).round().float())


def test_memory_grows_with_the_length_and_not_with_its_square():
    S = 16_384
    case = drawn((1, 2, S, 64, 64), torch.bfloat16, device="cuda", causal=True)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    output, lse, per_query = forward(case, statistics=True)
    gradients = backward(case, output, lse)
    kept = sum(each.nbytes for each in (output, lse, per_query, lse, *gradients))  # delta is as large as lse
    assert torch.cuda.max_memory_allocated() - before <= kept + 2**20
    assert kept < S * S


def test_more_than_two_to_the_31_elements_are_no_trouble():
    """The last head lies beyond what 32 bits can count; it has to come out as it does alone."""
    if torch.cuda.mem_get_info()[0] < 60 * GIB:
        pytest.skip("needs 60 GiB of free GPU memory")
    S, R = 1024, 128
    H = math.ceil(2**31 / (S * R)) + 1
    stream = torch.Generator("cuda").manual_seed(0)
    q, k, v, grad = (
        torch.randn(1, H, S, R, generator=stream, device="cuda", dtype=torch.bfloat16) for _ in range(4)
    )
    positions = torch.arange(S, device="cuda", dtype=torch.float32)[:, None]
    case = Case(q, k, v, grad, torch.full((H,), 0.1, device="cuda"), True, None, None, positions)
    output, lse, per_query = forward(case, statistics=True)
    gradients = backward(case, output, lse)
    alone = Case(*(x[:, -1:].clone() for x in (q, k, v, grad)), case.scale[-1:].clone(), *case.seeing[1:])
    output_alone, lse_alone, per_query_alone = forward(alone, statistics=True)
    assert torch.equal(output[:, -1:], output_alone)
    assert torch.equal(lse[:, -1:], lse_alone)
    assert torch.equal(per_query[:, :, -1:], per_query_alone)
    for whole, one in zip(gradients, backward(alone, output_alone, lse_alone), strict=True):
        assert torch.equal(whole[:, -1:], one)
