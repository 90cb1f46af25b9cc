"""Every path against the whole matrix and the equations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from kernels.attention import attention, attention_weights, blockwise, flash
from tests.kernels.attention_cases import CASES, NAMES, assert_same, drawn, seeing, with_gradients

LENGTHS = [1, 2, 63, 64, 65, 100, 127, 257]
WIDTHS = [(8, 16), (16, 8), (40, 40), (64, 64), (128, 5), (1, 1), (16, 64), (7, 128)]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("S", "widths"), list(zip(LENGTHS, WIDTHS, strict=True)))
def test_no_path_gives_anything_but_what_the_whole_matrix_gives(S, widths, case, fused, monkeypatch):
    monkeypatch.setattr(flash, "AVAILABLE", fused and flash.AVAILABLE)
    B, H = (2, 4) if S < 128 else (1, 3)
    scale = torch.linspace(0.2, 1.0, H, dtype=torch.float64)
    options = seeing(case, B, H, S)
    assert_same(drawn(B, H, S, *widths), {"rtol": 1e-9, "atol": 1e-10}, scale=scale, **options)


@pytest.mark.parametrize("case", CASES)
def test_however_the_matrix_is_divided_the_answer_is_the_same(case, monkeypatch):
    monkeypatch.setattr(flash, "AVAILABLE", False)
    monkeypatch.setattr(blockwise, "WHOLE", 0)
    monkeypatch.setattr(blockwise, "ROWS", 8)
    monkeypatch.setattr(blockwise, "TILE", 8 * 37 * 3)
    assert_same(drawn(3, 4, 37, 5, 6), {"rtol": 1e-9, "atol": 1e-10}, **seeing(case, 3, 4, 37))


@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 40),
    st.booleans(),
    st.lists(st.floats(0, 50), min_size=4, max_size=4),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_any_sight_is_that_of_the_definition(B, H, S, causal, windows, seed):
    key_mask = torch.rand(B, S, generator=torch.Generator().manual_seed(seed)) < 0.7
    window = torch.tensor(windows[:H], dtype=torch.float64)
    options = {"causal": causal, "window": window, "key_mask": key_mask}
    assert_same(drawn(B, H, S, seed=seed), {"rtol": 1e-9, "atol": 1e-10}, **options)


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_finite_differences(case, backend):
    tensors = tuple(tensor.requires_grad_() for tensor in drawn())
    options = seeing(case, 2, 2, 5)
    assert torch.autograd.gradcheck(
        lambda *given: attention(*given, **options, backend=backend).output, tensors
    )


def by_loops(q, k, scale, sees):
    """Weights and log-sum-exp, a query and a key at a time; `sees(b, h, i, j)` says what is visible."""
    B, H, S, _ = q.shape
    weights, lse = torch.zeros(B, H, S, S, dtype=torch.float64), torch.full((B, H, S), -math.inf).double()
    for b in range(B):
        for h in range(H):
            for i in range(S):
                seen = [j for j in range(S) if sees(b, h, i, j)]
                exps = [math.exp(float(scale[h]) * float(q[b, h, i] @ k[b, h, j])) for j in seen]
                if seen:
                    lse[b, h, i] = math.log(math.fsum(exps))
                    weights[b, h, i, seen] = torch.tensor(exps, dtype=torch.float64) / math.fsum(exps)
    return weights, lse


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_it_is_what_the_equations_say(backend):
    B, H, S = 2, 2, 6
    q, k, v = drawn(B, H, S)
    scale, window = torch.tensor([0.3, 1.2]).double(), torch.tensor([1.5, 2.3]).double()
    key_mask = torch.tensor([[1, 1, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]]).bool()
    x = torch.tensor([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]).double()

    def sees(b, h, i, j):
        return j <= i and bool(key_mask[b, j]) and math.dist(x[i].tolist(), x[j].tolist()) < float(window[h])

    weights, lse = by_loops(q, k, scale, sees)
    found = attention(
        q,
        k,
        v,
        scale=scale,
        causal=True,
        window=window,
        key_mask=key_mask,
        positions=x,
        statistics=True,
        lse=True,
        backend=backend,
    )
    torch.testing.assert_close(found.output, weights @ v)
    torch.testing.assert_close(found.lse, lse)
    for h in range(H):
        rows = [(weights[b, h, i], i) for b in range(B) for i in range(S) if lse[b, h, i] > -math.inf]
        assert len(rows) < B * S
        middles = [p @ x for p, _ in rows]
        expected = {
            "span": [sum(p[j] * math.dist(x[i].tolist(), x[j].tolist()) for j in range(S)) for p, i in rows],
            "locality": [
                math.sqrt(sum(p[j] * ((x[j] - m) ** 2).sum() for j in range(S)))
                for (p, _), m in zip(rows, middles, strict=True)
            ],
            "entropy": [-sum(w * math.log(w) for w in p.tolist() if w) for p, _ in rows],
            "sum_squares": [sum(w * w for w in p.tolist()) for p, _ in rows],
            "largest": [max(p.tolist()) for p, _ in rows],
        }
        for name, values in expected.items():
            mean = float(sum(values)) / len(rows)
            assert getattr(found.statistics, name)[h].item() == pytest.approx(mean, abs=1e-7), name


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("S", [1, 2, 63, 200])
def test_even_attention_has_the_numbers_of_a_uniform_law(S, backend):
    zeros = torch.zeros(2, 1, S, 3, dtype=torch.float64)
    found = attention(zeros, zeros, zeros, statistics=True, backend=backend).statistics
    assert found.span.item() == pytest.approx((S**2 - 1) / (3 * S))
    assert found.locality.item() == pytest.approx(math.sqrt((S**2 - 1) / 12))
    assert found.entropy.item() == pytest.approx(math.log(S))
    assert found.sum_squares.item() == pytest.approx(1 / S)
    assert found.largest.item() == pytest.approx(1 / S)


@given(st.permutations(range(8)))
@settings(deadline=None)
def test_attention_to_one_key_spans_the_distance_to_it_and_has_no_spread(keys):
    q = torch.eye(8, dtype=torch.float64)[list(keys)][None, None] * 1000
    k = torch.eye(8, dtype=torch.float64)[None, None]
    found = attention(q, k, k, statistics=True).statistics
    assert found.span.item() == pytest.approx(sum(abs(i - j) for i, j in enumerate(keys)) / 8)
    assert found.locality.item() == pytest.approx(0, abs=1e-6)
    assert found.entropy.item() == pytest.approx(0, abs=1e-6)


@given(st.floats(0.01, 100), st.floats(-1000, 1000))
@settings(deadline=None)
def test_statistics_scale_with_distances_and_do_not_care_where_the_origin_is(factor, shift):
    q, k, v = drawn(S=9)
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    before, after = (
        attention(q, k, v, positions=positions, statistics=True).statistics
        for positions in (x, factor * x + shift)
    )
    torch.testing.assert_close(after.span, factor * before.span, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(after.locality, factor * before.locality, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("S", [5, 40])
def test_the_log_sum_exp_is_right_where_a_query_does_not_look_at_itself(S):
    q, k, v = drawn(S=S)
    q, k = 300 * q, k.flip(2)  # weights of own keys vanish, in any precision
    exact = (q @ k.mT * 3**-0.5).logsumexp(-1)
    torch.testing.assert_close(attention(q, k, v, lse=True).lse, exact)
    torch.testing.assert_close(
        attention(q.float(), k.float(), v.float(), lse=True).lse.double(), exact, rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_a_query_that_sees_nothing_is_zeros_and_counts_for_nothing(backend):
    tensors = drawn(2, 2, 6, dtype=torch.float32)
    key_mask = torch.tensor([[False] * 3 + [True] * 3, [False] * 6])
    change = torch.ones_like(tensors[2])
    options = {"causal": True, "key_mask": key_mask, "backend": backend}
    found, (dq, dk, dv) = with_gradients(tensors, change, **options)
    assert not found.output[0, :, :3].any()
    assert not found.output[1].any()
    assert (found.lse[0, :, :3] == -math.inf).all()
    assert (found.lse[1] == -math.inf).all()
    for gradient in (dq[0, :, :3], dk[0, :, :3], dv[0, :, :3], dq[1], dk[1], dv[1]):
        assert not gradient.any()
    alone, _ = with_gradients(
        [x[:1, :, 3:] for x in tensors], change[:1, :, 3:], causal=True, backend=backend
    )
    for name in NAMES:
        torch.testing.assert_close(getattr(found.statistics, name), getattr(alone.statistics, name))


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_a_hidden_key_has_no_influence_at_all(backend):
    q, k, v = drawn(2, 2, 40, dtype=torch.float32)
    key_mask = torch.arange(40).expand(2, 40) < 30
    options = {"key_mask": key_mask, "statistics": True, "lse": True, "backend": backend}
    before = attention(q, k, v, **options)
    k[:, :, 30:], v[:, :, 30:] = 1e6, -1e6
    after = attention(q, k, v, **options)
    assert torch.equal(before.output, after.output)
    assert torch.equal(before.lse, after.lse)
    assert torch.equal(before.statistics.entropy, after.statistics.entropy)


def test_one_scale_is_a_scale_for_every_head_and_none_is_the_root_of_the_width():
    q, k, v = drawn(R=9)
    for scale in (1 / 3, torch.full((2,), 1 / 3, dtype=torch.float64)):
        assert torch.equal(attention(q, k, v, scale=scale).output, attention(q, k, v).output)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_statistics_and_log_sum_exp_carry_no_gradient(backend):
    tensors = (tensor.requires_grad_() for tensor in drawn())
    found = attention(*tensors, statistics=True, lse=True, backend=backend)
    assert found.output.requires_grad
    assert not found.lse.requires_grad
    assert not any(getattr(found.statistics, name).requires_grad for name in NAMES)


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("S", [5, 40])
def test_what_asks_for_a_gradient_is_taken_where_none_is_recorded(S, backend):
    options = seeing("everything", 2, 2, S) | {"scale": torch.ones(2, dtype=torch.float64)}
    asking = {
        n: x.clone().requires_grad_() if n in ("scale", "window", "positions") else x
        for n, x in options.items()
    }
    tensors = drawn(S=S)
    with torch.no_grad():
        found = attention(*tensors, **asking, statistics=True, lse=True, backend=backend)
        alone = attention(*tensors, **asking, backend=backend)
    assert not found.lse.requires_grad
    assert not any(getattr(found.statistics, name).requires_grad for name in NAMES)
    for each in (found, alone):
        assert not each.output.requires_grad
        torch.testing.assert_close(each.output, attention(*tensors, **options, backend=backend).output)


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("S", [5, 40])
def test_there_is_only_what_was_asked_for(S, backend):
    for statistics in (True, False):
        for lse in (True, False):
            found = attention(*drawn(S=S), statistics=statistics, lse=lse, backend=backend)
            assert (found.statistics is not None, found.lse is not None) == (statistics, lse)


def test_weights_are_those_that_mix_the_values():
    tensors = drawn(2, 4, 12, 5, 6)
    options = seeing("everything", 2, 4, 12) | {"scale": 0.7}
    weights = attention_weights(*tensors[:2], **options)
    torch.testing.assert_close(weights @ tensors[2], attention(*tensors, **options).output)
    with pytest.raises(ValueError, match=r"window must have the shape \[4\]"):
        attention_weights(*tensors[:2], window=torch.ones(3))


def test_values_are_those_of_torchs_own():
    q, k, v = drawn(2, 3, 300, 16, 24)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(attention(q, k, v, causal=True).output, expected, rtol=1e-10, atol=1e-12)
    weights = attention_weights(q, k, scale=0.25, causal=True)
    torch.testing.assert_close(weights @ v, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("case", ["all", "causal window", "keys"])
def test_gradients_of_longer_sequences_are_those_of_finite_differences(case, fused, monkeypatch):
    monkeypatch.setattr(flash, "AVAILABLE", fused and flash.AVAILABLE)
    tensors = tuple(tensor.requires_grad_() for tensor in drawn(1, 2, 34, 2, 1))
    options = seeing(case, 1, 2, 34)
    assert torch.autograd.gradcheck(
        lambda *given: attention(*given, **options).output, tensors, fast_mode=True
    )
