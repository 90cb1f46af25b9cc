import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from kernels.attention.masked import masked_attention, masked_attention_with_statistics
from kernels.attention.reference import attention_weights

SIZES = [(1, 1, 1, 1, 1), (3, 2, 7, 5, 3), (2, 3, 63, 1, 9), (1, 5, 10, 4, 1)]  # B, H, S, R, W


def drawn(sizes, dtype=torch.float64, seed=0):
    B, H, S, R, W = sizes
    stream = torch.Generator().manual_seed(seed)
    shapes = ((B, H, S, R), (B, H, S, R), (B, H, S, W))
    q, k, v = (torch.randn(shape, generator=stream, dtype=torch.float64).to(dtype) for shape in shapes)
    scale = torch.rand(H, generator=stream, dtype=torch.float64).to(dtype) + 0.5
    return q, k, v, scale


def by_definition(q, k, v, scale, mask):
    return attention_weights(q, k, scale, mask) @ v


def masks(S, H, kind):
    """Nothing hidden; the future hidden; a random part hidden, another one for each head."""
    if kind == "none":
        return torch.ones(1, S, S, dtype=torch.bool)
    if kind == "causal":
        return torch.ones(1, S, S, dtype=torch.bool).tril()
    random = torch.rand(H, S, S, generator=torch.Generator().manual_seed(1)) < 0.4
    return random | torch.eye(S, dtype=torch.bool)


def by_loops(q, k, scale, mask):
    """Weights, a query and a key at a time."""
    B, H, S, _ = q.shape
    mask = mask.expand(H, S, S)
    weights = torch.zeros(B, H, S, S, dtype=torch.float64)
    for b in range(B):
        for h in range(H):
            for i in range(S):
                seen = mask[h, i].nonzero().flatten().tolist()
                exps = [math.exp(float(scale[h]) * float(q[b, h, i] @ k[b, h, j])) for j in seen]
                weights[b, h, i, seen] = torch.tensor(exps, dtype=torch.float64) / sum(exps)
    return weights


@pytest.mark.parametrize("kind", ["none", "causal", "random"])
@pytest.mark.parametrize("sizes", SIZES)
def test_it_mixes_values_by_softmax_weights(sizes, kind):
    q, k, v, scale = drawn(sizes)
    mask = masks(sizes[2], sizes[1], kind)
    weights = by_loops(q, k, scale, mask)
    expected = weights @ v
    positions = torch.randn(sizes[2], 2, dtype=torch.float64)
    mixed, statistics = masked_attention_with_statistics(q, k, v, scale, mask, positions)
    for found in (masked_attention(q, k, v, scale, mask), by_definition(q, k, v, scale, mask), mixed):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(statistics.pattern, weights.mean(0), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["none", "causal", "random"])
@pytest.mark.parametrize("sizes", SIZES)
def test_values_and_gradients_are_those_of_torchs_own(sizes, kind):
    mask = masks(sizes[2], sizes[1], kind)
    inputs = [tensor.requires_grad_() for tensor in drawn(sizes)]
    q, k, v, scale = inputs
    expected = F.scaled_dot_product_attention(q * scale[:, None, None], k, v, attn_mask=mask, scale=1.0)
    change = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    wanted = torch.autograd.grad(expected, inputs, change)
    for function in (masked_attention, by_definition):
        found = function(q, k, v, scale, mask)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        for gradient, other in zip(torch.autograd.grad(found, inputs, change), wanted, strict=True):
            torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-11)


def test_gradients_are_those_of_finite_differences():
    mask = masks(4, 2, "random")
    inputs = tuple(tensor.requires_grad_() for tensor in drawn((2, 2, 4, 3, 2)))
    assert torch.autograd.gradcheck(lambda *given: masked_attention(*given, mask), inputs)


@pytest.mark.parametrize("sizes", SIZES)
def test_in_float32_it_errs_at_most_twice_as_much_as_the_definition(sizes):
    mask = masks(sizes[2], sizes[1], "random")
    exact = by_definition(*drawn(sizes), mask)
    single = drawn(sizes, torch.float32)
    errors = [(f(*single, mask) - exact).abs().max() for f in (masked_attention, by_definition)]
    assert errors[0] <= 2 * errors[1] + 1e-7


def test_a_hidden_key_has_no_influence_at_all():
    q, k, v, scale = drawn((2, 2, 6, 3, 4), torch.float32)
    mask = masks(6, 2, "causal")
    before = masked_attention(q, k, v, scale, mask)
    k[:, :, 4:], v[:, :, 4:] = 1e6, -1e6
    after = masked_attention(q, k, v, scale, mask)
    assert torch.equal(before[:, :, :4], after[:, :, :4])
    assert not torch.allclose(before[:, :, 4:], after[:, :, 4:])


def test_by_the_definition_a_query_that_sees_nothing_has_no_weights():
    q, k, v, scale = drawn((2, 1, 3, 2, 2))
    mask = torch.ones(1, 3, 3, dtype=torch.bool)
    mask[0, 1] = False
    weights = attention_weights(q, k, scale, mask)
    assert not weights[:, :, 1].any()
    torch.testing.assert_close(weights[:, :, [0, 2]].sum(-1), torch.ones(2, 1, 2, dtype=torch.float64))
    assert not by_definition(q, k, v, scale, mask)[:, :, 1].any()


def line(S, dtype=torch.float64):
    return torch.arange(S, dtype=dtype)[:, None]


def statistics(q, k, mask, positions):
    scale = torch.ones(q.shape[1], dtype=q.dtype)
    return masked_attention_with_statistics(q, k, k, scale, mask, positions)[1]


@pytest.mark.parametrize("S", [1, 2, 9, 63])
def test_even_attention_on_a_line_has_the_span_and_locality_of_a_uniform_law(S):
    zeros = torch.zeros(2, 1, S, 3, dtype=torch.float64)
    found = statistics(zeros, zeros, masks(S, 1, "none"), line(S))
    assert found.span.item() == pytest.approx((S**2 - 1) / (3 * S), abs=1e-12)
    assert found.locality.item() == pytest.approx(math.sqrt((S**2 - 1) / 12), abs=1e-7)
    torch.testing.assert_close(found.pattern, torch.full((1, S, S), 1 / S, dtype=torch.float64))


def test_even_attention_on_the_past_looks_half_as_far_back_as_there_is():
    S, zeros = 9, torch.zeros(2, 1, 9, 3, dtype=torch.float64)
    found = statistics(zeros, zeros, masks(S, 1, "causal"), line(S))
    assert found.span.item() == pytest.approx(sum(i / 2 for i in range(S)) / S)
    spreads = [math.sqrt(((i + 1) ** 2 - 1) / 12) for i in range(S)]
    assert found.locality.item() == pytest.approx(sum(spreads) / S, abs=1e-7)


@given(st.permutations(range(8)))
@settings(deadline=None)
def test_attention_to_one_key_spans_the_distance_to_it_and_has_no_spread(keys):
    q = torch.eye(8, dtype=torch.float64)[list(keys)][None, None] * 1000
    k = torch.eye(8, dtype=torch.float64)[None, None]
    found = statistics(q, k, masks(8, 1, "none"), line(8))
    assert found.span.item() == pytest.approx(sum(abs(i - j) for i, j in enumerate(keys)) / 8)
    assert found.locality.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", ["none", "causal", "random"])
def test_span_and_locality_are_moments_of_where_a_head_looks(kind):
    sizes = (3, 2, 7, 4, 2)
    q, k, v, scale = drawn(sizes)
    mask, positions = masks(7, 2, kind), torch.randn(7, 2, dtype=torch.float64)
    weights = by_loops(q, k, scale, mask)
    _, found = masked_attention_with_statistics(q, k, v, scale, mask, positions)
    for h in range(2):
        spans, spreads = [], []
        for b in range(3):
            for i in range(7):
                p = weights[b, h, i]
                spans.append(sum(p[j] * (positions[i] - positions[j]).norm() for j in range(7)))
                middle = sum(p[j] * positions[j] for j in range(7))
                squares = sum(p[j] * (positions[j] - middle).square().sum() for j in range(7))
                spreads.append(math.sqrt(float(squares)))
        assert found.span[h].item() == pytest.approx(float(sum(spans)) / 21)
        assert found.locality[h].item() == pytest.approx(sum(spreads) / 21, abs=1e-7)


@given(st.floats(0.01, 100), st.floats(-1000, 1000))
@settings(deadline=None)
def test_statistics_scale_with_distances_and_do_not_care_where_the_origin_is(factor, shift):
    q, k, _, _ = drawn((2, 2, 7, 4, 2))
    mask, positions = masks(7, 2, "random"), torch.randn(7, 2, dtype=torch.float64)
    before, after = (statistics(q, k, mask, x) for x in (positions, factor * positions + shift))
    torch.testing.assert_close(after.span, factor * before.span, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(after.locality, factor * before.locality, rtol=1e-5, atol=1e-5)


def test_statistics_in_float32_are_near_those_in_float64():
    q, k, _, _ = drawn((2, 3, 63, 4, 2))
    mask, positions = masks(63, 3, "random"), line(63) + 500
    exact = statistics(q, k, mask, positions)
    single = statistics(q.float(), k.float(), mask, positions.float())
    torch.testing.assert_close(single.span.double(), exact.span, rtol=1e-5, atol=0)
    torch.testing.assert_close(single.locality.double(), exact.locality, rtol=1e-4, atol=0)
