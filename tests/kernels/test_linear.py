import inspect
from math import prod

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kernels import onednn
from kernels.linear import gradients, linear

needs_onednn = pytest.mark.skipif(not onednn.available(), reason="torch was built without oneDNN")
BACKENDS = ["auto", "torch", pytest.param("onednn", marks=needs_onednn)]
SIZES = [
    ((1,), 1, 1),
    ((2,), 8, 16),
    ((63,), 100, 1),
    ((64,), 40, 64),
    ((65,), 128, 8),
    ((100,), 1, 63),
    ((127,), 64, 128),
    ((2, 50), 63, 100),
    ((), 5, 7),
    ((257,), 130, 190),
]


def drawn(rows, K, N, dtype=torch.float32):
    stream = np.random.default_rng(0)
    shapes = ((*rows, K), (N, K), (N,))
    x, weight, bias = (torch.from_numpy(stream.normal(size=shape)).to(dtype) for shape in shapes)
    return x, weight, bias


def relative(found, exact):
    return ((found.double() - exact).norm() / exact.norm()).item()


def of_sums(length):
    """The relative error to be expected of float32 sums of so many random products, added up one by one.

    The k-th partial sum has the standard deviation sqrt(k) and is rounded by 0.42 * 2**-24 of its size in the
    root mean square, since digits are spread evenly on a logarithmic scale.
    """
    return 0.42 * 2**-24 * (length / 2) ** 0.5


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sizes", SIZES)
def test_it_is_the_affine_map_and_so_are_its_gradients(sizes, backend, biased):
    inputs = [tensor.requires_grad_() for tensor in drawn(*sizes)[: 2 + biased]]
    x, weight, *bias = (tensor.detach().double() for tensor in inputs)
    exact = x @ weight.T + (bias[0] if biased else 0)
    change = torch.from_numpy(np.random.default_rng(1).normal(size=exact.shape)).float()
    found = linear(*inputs, backend=backend)
    upstream = change.double().reshape(-1, len(weight))
    expected = [
        (upstream @ weight).reshape(x.shape),
        upstream.T @ x.reshape(-1, x.shape[-1]),
        upstream.sum(0),
    ]
    assert found.shape == exact.shape
    assert relative(found, exact) <= 2e-6
    for gradient, wanted in zip(torch.autograd.grad(found, inputs, change), expected, strict=False):
        assert relative(gradient, wanted) <= 2e-6


@needs_onednn
@pytest.mark.parametrize("sizes", [*SIZES, ((2048,), 256, 512), ((20,), 5000, 3), ((5000,), 8, 40)])
def test_onednn_errs_at_most_twice_as_much_as_torch_or_as_plain_sums_of_1024_do(sizes):
    # MKL cuts its sums too, and on some processors shorter than oneDNN's: after 192 products on AMD's Zen 3.
    rows, K, N = sizes
    plain = [1.1 * of_sums(min(length, 1024)) for length in (K, N, prod(rows), 0)]
    errors = []
    for backend in ("onednn", "torch"):
        inputs = [tensor.requires_grad_() for tensor in drawn(*sizes)]
        exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
        found, wanted = linear(*inputs, backend=backend), F.linear(*exact)
        change = torch.from_numpy(np.random.default_rng(1).normal(size=found.shape)).float()
        results = (found, *torch.autograd.grad(found, inputs, change))
        truths = (wanted, *torch.autograd.grad(wanted, exact, change.double()))
        errors.append(
            [relative(result.detach(), truth) for result, truth in zip(results, truths, strict=True)]
        )
    allowed = [max(2 * torchs, sums) + 3e-8 for torchs, sums in zip(errors[1], plain, strict=True)]
    assert all(ours <= most for ours, most in zip(errors[0], allowed, strict=True)), (errors, allowed)


@needs_onednn
@pytest.mark.parametrize("sizes", SIZES)
def test_every_number_of_the_result_and_the_gradients_is_written(sizes, monkeypatch):
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    assert torch.empty(3).isnan().all()
    inputs = [tensor.requires_grad_() for tensor in drawn(*sizes)]
    found = linear(*inputs, backend="onednn")
    assert found.isfinite().all()
    assert all(each.isfinite().all() for each in torch.autograd.grad(found.sum(), inputs))


@needs_onednn
@pytest.mark.parametrize("biased", [True, False])
def test_the_gradient_of_a_gradient_is_that_of_plain_torch(biased):
    x, weight, bias = drawn((63,), 40, 20)
    change = drawn((63,), 20, 1)[0]

    def of_squares(backend, kind):
        leaves = [tensor.to(kind).requires_grad_() for tensor in (x, weight, change, bias)][: 3 + biased]
        found = linear(*leaves[:2], *leaves[3:], backend=backend)
        first = torch.autograd.grad(found, leaves[:2], leaves[2], create_graph=True)
        return torch.autograd.grad(sum(each.square().sum() for each in first), leaves[:3])

    pairs = zip(of_squares("onednn", torch.float32), of_squares("torch", torch.float64), strict=True)
    assert all(relative(found, exact) <= 2e-6 for found, exact in pairs)


def test_gradients_are_those_of_finite_differences():
    inputs = tuple(tensor.requires_grad_() for tensor in drawn((2, 3), 4, 5, torch.float64))
    assert torch.autograd.gradcheck(linear, inputs)


@needs_onednn
@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_needs_no_gradient_gets_none_and_the_others_are_not_changed_by_it(frozen):
    inputs = [tensor.requires_grad_() for tensor in drawn((63,), 10, 100)]
    linear(*inputs, backend="onednn").square().sum().backward()
    again = [tensor.detach().requires_grad_(index != frozen) for index, tensor in enumerate(inputs)]
    linear(*again, backend="onednn").square().sum().backward()
    assert again[frozen].grad is None
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(again, inputs, strict=True) if a.requires_grad)


@pytest.mark.parametrize("backend", BACKENDS)
def test_fifty_repeats_give_the_same_bits_of_result_and_gradients(backend):
    inputs = [tensor.requires_grad_() for tensor in drawn((100,), 63, 100)]

    def once():
        copies = [tensor.clone() for tensor in inputs]  # elsewhere in memory, as in another run
        found = linear(*copies, backend=backend)
        return found, *torch.autograd.grad(found.square().sum(), inputs)

    first = once()
    assert all(all(map(torch.equal, first, once())) for _ in range(50))


@pytest.mark.parametrize("backend", BACKENDS)
def test_strides_do_not_matter(backend):
    x, weight, bias = drawn((63,), 100, 100)
    steps = torch.stack([bias, bias], 1)[:, 0]
    expected = F.linear(x.double(), weight.T.double(), bias.double())
    columns = torch.cat([x, x], 1).T.contiguous().T[:, :100]
    for view in (x, columns, x[:, None].transpose(0, 1)[0]):
        assert relative(linear(view, weight.T, steps, backend=backend), expected) <= 2e-6
    for overlapping in (x[:1].expand(5, 100), x[:, :1].expand(63, 100), x.as_strided((63, 100), (1, 1))):
        found = linear(overlapping, overlapping, backend=backend)
        assert relative(found, overlapping.double() @ overlapping.double().T) <= 2e-6


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("rows", "K", "N"), [((0,), 3, 2), ((4,), 0, 2), ((4,), 3, 0), ((2, 0), 3, 2)])
def test_without_numbers_it_is_the_bias(rows, K, N, backend):
    x, weight, bias = drawn(rows, K, N)
    x.requires_grad_()
    found = linear(x, weight, bias, backend=backend)
    assert torch.equal(found, bias.expand(*rows, N))
    assert torch.equal(torch.autograd.grad(found.sum(), x)[0], torch.zeros_like(x))


@pytest.fixture
def called(monkeypatch):
    """Where what oneDNN was called with is noted; it then computes nothing."""
    calls = []

    def noted(x, weight, bias):
        calls.append(tuple(x.shape))
        return F.linear(x, weight, bias)

    monkeypatch.setattr(gradients, "linear", noted)
    yield calls
    onednn.faster.cache_clear()


AMD, INTEL = {"cpu_name": "AMD EPYC 9R45", "avx512_f": True}, {"cpu_name": "Intel Xeon", "avx512_f": True}


def on(monkeypatch, capabilities, mkl=None, switch=None):
    """Pretend that this is another processor, or another environment."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    for name, value in (("MKL_CBWR", mkl), ("PLASMODIA_ONEDNN", switch)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    onednn.faster.cache_clear()


@needs_onednn
@pytest.mark.parametrize(
    ("capabilities", "mkl", "switch", "faster"),
    [
        (AMD, None, None, True),
        (AMD, None, "1", True),
        (AMD, None, "0", False),
        (AMD, "AVX2,STRICT", None, True),
        (AMD | {"avx512_f": False}, "AVX2,STRICT", None, False),
        ({"cpu_name": "AMD EPYC 7R13"}, None, None, False),
        (INTEL, None, None, False),
        (INTEL, "AUTO", None, False),
        (INTEL, "AVX512", None, False),
        (INTEL, "AVX2", None, True),
        (INTEL, "AVX2,STRICT", None, True),
        (INTEL, "AVX2,STRICT", "0", False),
        ({}, "AVX2,STRICT", None, False),
    ],
)
def test_onednn_is_faster_where_mkl_leaves_avx512_unused_unless_it_is_switched_off(
    monkeypatch, called, capabilities, mkl, switch, faster
):
    on(monkeypatch, capabilities, mkl, switch)
    linear(*drawn((1024,), 64, 128))
    assert bool(called) is faster


@needs_onednn
@pytest.mark.parametrize(
    ("rows", "K", "N", "dtype", "taken"),
    [
        (1024, 64, 128, torch.float32, True),
        (1024, 128, 64, torch.float32, True),
        (1024, 64, 128, torch.float64, False),
        (1023, 64, 128, torch.float32, False),  # few products
        (2048, 63, 128, torch.float32, False),  # a narrow matrix
        (2048, 127, 127, torch.float32, False),
        (128, 512, 512, torch.float32, True),
        (127, 512, 1024, torch.float32, False),  # few vectors
        (256, 128, 1025, torch.float32, True),
        (256, 127, 1025, torch.float32, False),  # long sums by a narrow matrix
    ],
)
def test_by_itself_it_takes_onednn_for_float32_of_some_size(monkeypatch, called, rows, K, N, dtype, taken):
    on(monkeypatch, AMD)
    linear(*drawn((rows,), K, N, dtype))
    assert bool(called) is taken


@needs_onednn
def test_a_backend_that_is_named_is_taken(monkeypatch, called):
    on(monkeypatch, AMD)
    linear(*drawn((1024,), 64, 128), backend="torch")
    assert called == []
    on(monkeypatch, INTEL, switch="0")
    linear(*drawn((2,), 3, 4), backend="onednn")
    assert called == [(2, 3)]


@needs_onednn
def test_another_switch_is_refused(monkeypatch, called):
    on(monkeypatch, AMD, switch="off")
    with pytest.raises(ValueError, match="PLASMODIA_ONEDNN is 'off', but must be one of 0, 1"):
        linear(*drawn((1024,), 64, 128))


def test_an_older_torch_that_cannot_tell_its_processor_stays_with_its_own_product(monkeypatch, called):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    onednn.faster.cache_clear()
    linear(*drawn((1024,), 64, 128))
    assert called == []


def test_a_torch_without_onednn_uses_its_own_product_and_says_so_if_asked(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    inputs = drawn((1024,), 64, 128)
    assert torch.equal(linear(*inputs), F.linear(*inputs))
    with pytest.raises(
        ValueError, match=r"backend 'onednn' needs .* torch.float32 on cpu and oneDNN is missing"
    ):
        linear(*inputs, backend="onednn")


@pytest.mark.parametrize(
    ("x", "weight", "bias", "backend", "message"),
    [
        ((3, 2), (4, 2), None, "mkl", "backend is 'mkl', but must be one of auto, torch, onednn"),
        ((3, 2), (4, 3), None, "auto", r"weight must be \[N, K\] for x .* is \[4, 3\] for \[3, 2\]"),
        ((3, 2), (2,), None, "auto", r"weight must be \[N, K\] for x .* is \[2\] for \[3, 2\]"),
        ((), (4, 2), None, "auto", r"weight must be \[N, K\] for x .* is \[4, 2\] for \[\]"),
        ((3, 2), (4, 2), (1,), "auto", r"bias must be \[N\] for weight .* is \[1\] for \[4, 2\]"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_door(x, weight, bias, backend, message):
    unchecked = inspect.unwrap(linear)  # as a run calls it: shapes in signatures are checked in tests only
    given = (None if bias is None else torch.ones(bias),)
    with pytest.raises(ValueError, match=message):
        unchecked(torch.ones(x), torch.ones(weight), *given, backend=backend)


def test_a_result_that_no_memory_holds_is_refused_at_the_door():
    x, weight = (torch.zeros(1).expand(10**5, 3) for _ in range(2))
    with pytest.raises(ValueError, match=r"x asks for a result of shape \[100000, 100000\] .* takes 37 GiB"):
        linear(x, weight)


def test_dtypes_are_refused_at_the_door():
    x, weight, bias = drawn((3,), 2, 4)
    with pytest.raises(
        ValueError, match=r"weight must have the dtype and device of x, torch.float32 on cpu, but"
    ):
        linear(x, weight.double(), bias)
    with pytest.raises(ValueError, match=r"bias must have the dtype .* it has torch.float64 on cpu"):
        linear(x, weight, bias.double())
    with pytest.raises(ValueError, match=r"x must hold floating-point numbers, but its dtype is torch.int64"):
        inspect.unwrap(linear)(x.long(), weight.long())
    if onednn.available():
        with pytest.raises(
            ValueError, match=r"'onednn' needs .* x has torch.float64 on cpu and oneDNN is there"
        ):
            linear(x.double(), weight.double(), backend="onednn")


@pytest.mark.parametrize("rows", [3, 2048])
def test_autocast_has_torchs_product_in_its_own_dtype_whatever_comes_in(rows):
    stream = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(shape, generator=stream) for shape in ((rows, 256), (512, 256), (512,)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = F.linear(x, weight, bias)
        for given in (x, x.bfloat16(), x.double()):
            found = linear(given, weight, bias)
            assert found.dtype == torch.bfloat16
            assert torch.equal(found, expected)
