import math
import subprocess
import sys
import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from kernels import door
from kernels.attention import attention, attention_weights, blockwise, flash, inputs

NAMES = ("span", "locality", "entropy", "sum_squares", "largest")
LENGTHS = [1, 2, 63, 64, 65, 100, 127, 257]
WIDTHS = [(8, 16), (16, 8), (40, 40), (64, 64), (128, 5), (1, 1), (16, 64), (7, 128)]


def drawn(B=2, H=2, S=5, R=3, W=4, dtype=torch.float64, seed=0):
    stream = torch.Generator().manual_seed(seed)
    shapes = ((B, H, S, R), (B, H, S, R), (B, H, S, W))
    return [torch.randn(shape, generator=stream, dtype=torch.float64).to(dtype) for shape in shapes]


def seeing(case, B, H, S, dtype=torch.float64):
    """What the queries may see, by the name of the case."""
    stream = torch.Generator().manual_seed(5)
    some = torch.rand(B, S, generator=stream) < 0.6
    windows = torch.tensor([1.0, 3.5, S + 10.0, S / 3 + 0.5], dtype=dtype)[torch.arange(H) % 4]
    plane = torch.stack([torch.arange(S) // 8, torch.arange(S) % 8], 1).to(dtype)
    return {
        "all": {},
        "causal": {"causal": True},
        "window": {"window": windows},
        "causal window": {"causal": True, "window": windows},
        "keys": {"key_mask": some},
        "everything": {"causal": True, "window": windows, "key_mask": some, "positions": plane},
        "plane": {"window": windows, "positions": plane},
        "space": {"positions": torch.randn(S, 3, generator=stream, dtype=torch.float64).to(dtype)},
        "line": {"positions": torch.randn(S, 1, generator=stream, dtype=torch.float64).to(dtype)},
        "nothing": {"key_mask": torch.zeros(B, S, dtype=torch.bool)},
    }[case]


CASES = [
    "all",
    "causal",
    "window",
    "causal window",
    "keys",
    "everything",
    "plane",
    "space",
    "line",
    "nothing",
]


def with_gradients(tensors, change, statistics=True, lse=True, **options):
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    found = attention(*leaves, statistics=statistics, lse=lse, **options)
    return found, torch.autograd.grad(found.output, leaves, change)


def assert_same(tensors, tolerance, **options):
    """The torch path against the reference, with statistics and without (which may go another way)."""
    stream = torch.Generator().manual_seed(9)
    change = torch.randn(tensors[2].shape, generator=stream, dtype=torch.float64).to(tensors[2].dtype)
    wanted, gradients = with_gradients(tensors, change, backend="reference", **options)
    for statistics in (True, False):
        found, others = with_gradients(tensors, change, statistics, backend="torch", **options)
        torch.testing.assert_close(found.output, wanted.output, **tolerance)
        torch.testing.assert_close(found.lse, wanted.lse, **tolerance)
        for gradient, other in zip(gradients, others, strict=True):
            torch.testing.assert_close(other, gradient, **tolerance)
        for name in NAMES if statistics else ():
            pair = getattr(found.statistics, name), getattr(wanted.statistics, name)
            torch.testing.assert_close(*pair, **tolerance, msg=lambda text, name=name: f"{name}: {text}")


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


def test_a_sharp_look_at_a_far_key_has_no_spread_in_float32():
    S, far = 2000, 1990
    q, k = torch.ones(1, 1, S, 1), torch.zeros(1, 1, S, 1)
    k[..., far, :] = 200.0
    found = attention(q, k, k, scale=1.0, statistics=True).statistics
    assert found.locality.item() == 0.0
    assert found.entropy.item() == 0.0
    assert found.span.item() == pytest.approx(sum(abs(i - far) for i in range(S)) / S)


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


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("S", [17, 200])
def test_tensors_that_are_not_contiguous_are_read_right(S, statistics):
    tensors = drawn(2, 3, S, 8, 8)
    turned = [tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in tensors]
    assert not turned[0].is_contiguous()
    change = torch.ones(8, dtype=torch.float64).expand(2, 3, S, 8)
    found, gradients = with_gradients(turned, change, statistics)
    wanted, others = with_gradients(tensors, change.contiguous(), statistics)
    for one, other in zip((found.output, *gradients), (wanted.output, *others), strict=True):
        assert torch.equal(one, other)


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"q": torch.zeros(2, 2, 5, 3, dtype=torch.int64)},
            r"q must have one of the dtypes .*has torch.int64",
        ),
        (
            {"q": torch.zeros(2, 5, 3)},
            r"q must have a shape \[B, H, S, R\] without zeros, but has \[2, 5, 3\]",
        ),
        ({"q": torch.zeros(2, 2, 0, 3)}, "without zeros"),
        ({"k": torch.zeros(2, 2, 6, 3)}, r"k must have the shape \[2, 2, 5, 3\] .*has \[2, 2, 6, 3\]"),
        ({"v": torch.zeros(2, 3, 5, 3)}, r"v must have the shape \[2, 2, 5, any\] .*has \[2, 3, 5, 3\]"),
        ({"v": torch.zeros(2, 2, 5, 0)}, "v must have a width of at least 1"),
        (
            {"v": torch.zeros(2, 2, 5, 4).half()},
            "v must have the dtype of q, torch.float32, but has torch.float16",
        ),
        ({"k": torch.zeros(2, 2, 5, 3, device="meta")}, "k must be on the device of q, cpu, but is on meta"),
        ({"scale": torch.ones(3)}, r"scale must have the shape \[2\]"),
        ({"scale": torch.ones(2, requires_grad=True)}, "scale requires a gradient"),
        ({"window": torch.ones(1)}, r"window must have the shape \[2\]"),
        ({"key_mask": torch.ones(2, 4).bool()}, r"key_mask must have the shape \[2, 5\]"),
        ({"key_mask": torch.ones(2, 5)}, "key_mask must have dtype torch.bool, but has torch.float32"),
        ({"positions": torch.ones(5)}, r"positions must have the shape \[5, any\]"),
        ({"positions": torch.ones(5, 4)}, "positions must have 1 to 3 coordinates, but has 4"),
        ({"backend": "cuda"}, "backend is 'cuda', but must be one of auto, reference, torch, triton"),
    ],
)
def test_what_does_not_belong_together_is_refused(change, message):
    q, k, v = drawn(dtype=torch.float32)
    given = {"q": q, "k": k, "v": v} | change
    with pytest.raises(ValueError, match=message):
        attention(given.pop("q"), given.pop("k"), given.pop("v"), **given)


def test_a_matrix_that_no_memory_holds_is_refused():
    x = torch.zeros(1, 1, 1, 1).expand(1, 1, 100_000, 1)
    with pytest.raises(ValueError, match=r"q asks for a result of shape \[1, 1, 100000, 100000\]"):
        attention(x, x, x, backend="reference")


def test_the_triton_kernels_are_told_what_they_expect(monkeypatch):
    """A stand-in for the kernels checks what it is told and answers by the torch path."""
    heard = {}

    def sight(scale, causal, window, key_mask, positions):
        assert window.dtype == scale.dtype == positions.dtype == torch.float32
        assert key_mask.dtype == torch.uint8
        assert all(each.is_contiguous() for each in (scale, window, key_mask, positions))
        heard["positions"] = positions
        return inputs.Sight(scale, causal, window, key_mask.bool(), positions)

    def forward(q, k, v, scale, causal, window, key_mask, positions, statistics):
        return blockwise.forward(q, k, v, sight(scale, causal, window, key_mask, positions), statistics)

    def backward(grad_output, q, k, v, output, lse, *told):
        return blockwise.backward(grad_output, q, k, v, output, lse, sight(*told))

    for name, function in (("forward", forward), ("backward", backward)):
        module = types.ModuleType(f"kernels.attention.triton_{name}")
        setattr(module, name, function)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(door, "_on_triton", lambda argument, tensor: None)
    tensors = drawn(dtype=torch.float32)
    options = seeing("causal window", 2, 2, 5, torch.float64) | {
        "key_mask": torch.rand(5, 2).T < 0.9,
        "scale": 0.5,
    }
    change = torch.ones_like(tensors[2])
    found, gradients = with_gradients(tensors, change, **options, backend="triton")
    wanted, others = with_gradients(tensors, change, **options, backend="torch")
    assert torch.equal(heard["positions"], torch.arange(5.0)[:, None])
    for one, other in zip(
        (found.output, found.lse, *gradients), (wanted.output, wanted.lse, *others), strict=True
    ):
        torch.testing.assert_close(one, other)


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


def test_torch_still_has_the_private_operations():
    assert flash.AVAILABLE


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


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("case", ["all", "causal window", "keys"])
def test_gradients_of_longer_sequences_are_those_of_finite_differences(case, fused, monkeypatch):
    monkeypatch.setattr(flash, "AVAILABLE", fused and flash.AVAILABLE)
    tensors = tuple(tensor.requires_grad_() for tensor in drawn(1, 2, 34, 2, 1))
    options = seeing(case, 1, 2, 34)
    assert torch.autograd.gradcheck(
        lambda *given: attention(*given, **options).output, tensors, fast_mode=True
    )


def test_fifty_repeats_of_the_fused_kernel_give_the_same_bits(monkeypatch):
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    tensors = drawn(2, 2, 100, 16, 16, torch.float32)

    def once():
        found, gradients = with_gradients(tensors, torch.ones_like(tensors[2]), False, causal=True)
        return found.output, found.lse, *gradients

    first = once()
    assert not any(tensor.isnan().any() for tensor in first)
    assert all(all(map(torch.equal, once(), first)) for _ in range(49))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", torch.ones(2)),
        ("window", torch.full((2,), 9.0)),
        ("key_mask", torch.ones(2, 40, dtype=torch.bool)),
        ("positions", torch.rand(40, 1)),
    ],
)
def test_what_changes_between_forward_and_backward_is_noticed(name, value):
    tensors = [tensor.requires_grad_() for tensor in drawn(S=40, dtype=torch.float32)]
    found = attention(*tensors, **{name: value})
    value.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.output.sum().backward()


@pytest.mark.parametrize("statistics", [True, False])
def test_a_second_derivative_is_refused_or_right(statistics):
    tensors = [tensor.requires_grad_() for tensor in drawn(S=40)]
    (first,) = torch.autograd.grad(
        attention(*tensors, statistics=statistics).output.sum(), tensors[0], create_graph=True
    )
    with pytest.raises(RuntimeError, match="cannot be differentiated again; pass backend='reference'"):
        first.square().sum().backward()


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": None}, "q must be a dense torch.Tensor, but is a NoneType"),
        ({"k": [1.0]}, "k must be a dense torch.Tensor, but is a list"),
        ({"window": 3}, "window must be a dense torch.Tensor, but is a int"),
        ({"scale": "x"}, "scale must be a dense torch.Tensor, but is a str"),
        ({"scale": torch.ones(2, dtype=torch.complex64)}, "scale must hold real numbers, but its dtype is"),
        ({"window": torch.ones(2, dtype=torch.bool)}, "window must hold real numbers"),
        ({"window": torch.ones(2, requires_grad=True)}, "window requires a gradient, .* detach it"),
        ({"v": torch.zeros(1).expand(2, 2, 5, 2**30)}, "v asks for a result of shape"),
    ],
)
def test_what_is_no_tensor_or_too_large_is_one_sentence(change, message):
    q, k, v = drawn(dtype=torch.float32)
    given = {"q": q, "k": k, "v": v} | change
    with pytest.raises(ValueError, match=message):
        attention(given.pop("q"), given.pop("k"), given.pop("v"), **given)
