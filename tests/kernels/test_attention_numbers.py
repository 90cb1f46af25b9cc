"""Precision, repeats, memory, and numbers that lie apart or are none."""

import math
import subprocess
import sys

import pytest
import torch

from kernels.attention import attention
from tests.kernels.attention_cases import CASES, NAMES, drawn, seeing, with_gradients


def test_a_sharp_look_at_a_far_key_has_no_spread_in_float32():
    S, far = 2000, 1990
    q, k = torch.ones(1, 1, S, 1), torch.zeros(1, 1, S, 1)
    k[..., far, :] = 200.0
    found = attention(q, k, k, scale=1.0, statistics=True).statistics
    assert found.locality.item() == 0.0
    assert found.entropy.item() == 0.0
    assert found.span.item() == pytest.approx(sum(abs(i - far) for i in range(S)) / S)


def in_both_layouts(S, statistics):
    """Output and gradients of tensors that are not contiguous, beside those of their contiguous copies."""
    tensors = drawn(2, 3, S, 8, 8)
    turned = [tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in tensors]
    assert not turned[0].is_contiguous()
    change = torch.ones(8, dtype=torch.float64).expand(2, 3, S, 8)
    found, gradients = with_gradients(turned, change, statistics)
    wanted, others = with_gradients(tensors, change.contiguous(), statistics)
    return zip((found.output, *gradients), (wanted.output, *others), strict=True)


@pytest.mark.parametrize(("S", "statistics"), [(17, True), (200, True), (200, False)])
def test_tensors_that_are_not_contiguous_give_the_bits_of_their_copies(S, statistics):
    assert all(torch.equal(one, other) for one, other in in_both_layouts(S, statistics))


def test_short_tensors_that_are_not_contiguous_are_read_right():
    # They are multiplied as they lie, and MKL need not round a transposed operand as it does a plain one: where
    # MKL_CBWR=AVX2,STRICT holds, it does, but on AMD's processors MKL takes its mode AUTO instead and does not.
    for one, other in in_both_layouts(S=17, statistics=False):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("S", [16, 257])
def test_fifty_repeats_give_the_same_bits(S, statistics, monkeypatch):
    # New memory is not a number: what is not written is seen.
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    tensors = drawn(2, 2, S, 16, 16, torch.float32)
    options = seeing("causal window", 2, 2, S, torch.float32)

    def once():
        found, gradients = with_gradients(tensors, torch.ones_like(tensors[2]), statistics, **options)
        numbers = (getattr(found.statistics, name) for name in NAMES) if statistics else ()
        return found.output, found.lse, *gradients, *numbers

    first = once()
    assert not any(tensor.isnan().any() for tensor in first)
    assert all(all(map(torch.equal, once(), first)) for _ in range(49))


def plain(q, k, v, scale, mask):
    """The definition in the precision of the inputs, from first to last."""
    scores = (q @ k.mT * scale).masked_fill(~mask, -math.inf)
    return torch.softmax(scores, -1) @ v


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("S", [16, 257])
def test_it_errs_at_most_twice_as_much_as_plain_torch_of_the_same_precision(S, dtype, causal):
    narrow = drawn(2, 2, S, 40, 24, dtype)
    change = torch.randn(2, 2, S, 24, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(
        dtype
    )
    mask = torch.ones(S, S, dtype=torch.bool)
    mask = mask.tril() if causal else mask
    results = []
    for function, kind in (
        (lambda *x: plain(*x, 40**-0.5, mask), torch.float64),
        (lambda *x: plain(*x, 40**-0.5, mask), dtype),
        (lambda *x: attention(*x, causal=causal).output, dtype),
    ):
        leaves = [tensor.to(kind).requires_grad_() for tensor in narrow]
        output = function(*leaves)
        results.append((output, *torch.autograd.grad(output, leaves, change.to(kind))))
    for exact, theirs, ours in zip(*results, strict=True):
        assert ours.dtype == dtype
        assert (ours - exact).norm() <= 2 * (theirs - exact).norm()


def test_statistics_in_float32_err_at_most_twice_as_much_as_the_definition_in_float32():
    narrow = drawn(2, 3, 200, 16, 16, torch.float32)
    options = {"causal": True, "statistics": True}
    exact = attention(*(tensor.double() for tensor in narrow), **options, backend="reference")
    theirs, ours = (attention(*narrow, **options, backend=backend) for backend in ("reference", "torch"))
    for name in NAMES:
        truth = getattr(exact.statistics, name)
        errors = [(getattr(each.statistics, name) - truth).norm() for each in (ours, theirs)]
        assert errors[0] <= 2 * errors[1] + 1e-6 * truth.norm(), name


def test_half_precision_has_statistics_and_log_sum_exp_in_float32():
    found = attention(*drawn(dtype=torch.bfloat16), statistics=True, lse=True)
    assert found.output.dtype == torch.bfloat16
    assert found.lse.dtype == found.statistics.span.dtype == torch.float32


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("S", [1, 7, 32, 33])
def test_asking_for_the_log_sum_exp_changes_no_bit(S, case):
    tensors, options = drawn(2, 4, S, 5, 6, torch.float32), seeing(case, 2, 4, S, torch.float32)
    change = torch.randn(2, 4, S, 6, generator=torch.Generator().manual_seed(2))
    asked, gradients = with_gradients(tensors, change, False, True, **options)
    alone, others = with_gradients(tensors, change, False, False, **options)
    assert alone.lse is None
    for one, other in zip((asked.output, *gradients), (alone.output, *others), strict=True):
        assert torch.equal(one, other)


def test_not_a_number_is_not_hidden():
    q, k, v = drawn(S=200)
    q[0, 0, 3] = math.nan
    found = attention(q, k, v, lse=True)
    assert found.output[0, 0, 3].isnan().all()
    assert found.lse[0, 0, 3].isnan()
    assert not found.output[1].isnan().any()


MEMORY = """
import resource, torch
from kernels.attention import attention
S = 8192
x = torch.randn(1, 1, S, 4, requires_grad=True)
attention(x[:, :, :64], x[:, :, :64], x[:, :, :64], statistics=True).output.sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
attention(x, x, x, causal=True, statistics=True).output.sum().backward()
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def test_the_matrix_is_never_in_memory():
    done = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 8192**2 * 4 / 4  # a quarter of the matrix in float32


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("S", [8, 40])
def test_the_numbers_of_a_token_may_lie_apart(S, statistics):
    tensors = drawn(2, 3, S, 8, 8)
    apart = [
        tensors[0].mT.contiguous().mT,
        torch.stack([tensors[1], tensors[1]], -1).flatten(-2)[..., ::2],
        tensors[2][..., :1].expand(-1, -1, -1, 8),
    ]
    assert [each.stride(3) for each in apart] == [S, 2, 0]
    change = torch.randn(2, 3, S, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted, gradients = with_gradients([*tensors[:2], apart[2].contiguous()], change, backend="reference")
    leaves = [tensor.requires_grad_() for tensor in apart]
    found = attention(*leaves, statistics=statistics)
    torch.testing.assert_close(found.output, wanted.output)
    for one, other in zip(torch.autograd.grad(found.output, leaves, change), gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_fifty_repeats_of_the_fused_kernel_give_the_same_bits(monkeypatch):
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    tensors = drawn(2, 2, 100, 16, 16, torch.float32)

    def once():
        found, gradients = with_gradients(tensors, torch.ones_like(tensors[2]), False, causal=True)
        return found.output, found.lse, *gradients

    first = once()
    assert not any(tensor.isnan().any() for tensor in first)
    assert all(all(map(torch.equal, once(), first)) for _ in range(49))


def test_statistics_do_not_hide_what_is_not_a_number():
    q, k, v = drawn(S=9)
    q[0, 1, 3] = math.nan
    found = attention(q, k, v, statistics=True).statistics
    assert all(getattr(found, name).isnan().tolist() == [False, True] for name in NAMES)


@pytest.mark.parametrize("S", [8, 40])
def test_autocast_changes_nothing(S):
    tensors = drawn(S=S, dtype=torch.float32)
    plain_ = attention(*tensors, statistics=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = attention(*tensors, statistics=True)
        alone = attention(*tensors)
    assert torch.equal(mixed.output, plain_.output)
    assert torch.equal(mixed.statistics.locality, plain_.statistics.locality)
    assert alone.output.dtype == torch.float32
    torch.testing.assert_close(alone.output, plain_.output)
