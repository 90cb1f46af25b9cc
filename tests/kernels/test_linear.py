import inspect

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import kernels.linear
from kernels.linear import linear, onednn

needs_onednn = pytest.mark.skipif(not onednn.available(), reason="torch was built without oneDNN")
BACKENDS = ["auto", "torch", pytest.param("onednn", marks=needs_onednn)]
SIZES = [((1,), 1, 1), ((63,), 100, 1), ((100,), 1, 63), ((2, 50), 63, 100), ((), 5, 7), ((257,), 130, 190)]


def drawn(rows, K, N, dtype=torch.float32):
    stream = np.random.default_rng(0)
    shapes = ((*rows, K), (N, K), (N,))
    x, weight, bias = (torch.from_numpy(stream.normal(size=shape)).to(dtype) for shape in shapes)
    return x, weight, bias


def relative(found, exact):
    return ((found.double() - exact).norm() / exact.norm()).item()


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
@pytest.mark.parametrize("sizes", SIZES)
def test_onednn_errs_at_most_twice_as_much_as_torch(sizes):
    errors = []
    for backend in ("onednn", "torch"):
        inputs = [tensor.requires_grad_() for tensor in drawn(*sizes)]
        exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
        found, wanted = linear(*inputs, backend=backend), F.linear(*exact)
        gradients = torch.autograd.grad(found.square().sum(), inputs)
        others = torch.autograd.grad(wanted.square().sum(), exact)
        pairs = zip((found, *gradients), (wanted, *others), strict=True)
        errors.append([(f - w).abs().max().item() / w.abs().max().item() for f, w in pairs])
    assert all(ours <= 2 * torchs + 1e-7 for ours, torchs in zip(*errors, strict=True))


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

    monkeypatch.setattr(onednn, "linear", noted)
    yield calls
    kernels.linear.faster_by_onednn.cache_clear()


def on(monkeypatch, **capabilities):
    """Pretend that this is another processor."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    kernels.linear.faster_by_onednn.cache_clear()


@needs_onednn
@pytest.mark.parametrize(
    ("capabilities", "dtype", "rows", "taken"),
    [
        ({"cpu_name": "AMD EPYC 9R45", "avx512_f": True}, torch.float32, 2048, True),
        ({"cpu_name": "AMD EPYC 9R45", "avx512_f": True}, torch.float32, 2047, False),
        ({"cpu_name": "AMD EPYC 9R45", "avx512_f": True}, torch.float64, 2048, False),
        ({"cpu_name": "AMD EPYC 7R13", "avx512_f": False}, torch.float32, 2048, False),
        ({"cpu_name": "AMD EPYC 7R13"}, torch.float32, 2048, False),
        ({"cpu_name": "Intel Xeon", "avx512_f": True}, torch.float32, 2048, False),
        ({}, torch.float32, 2048, False),
    ],
)
def test_by_itself_it_takes_onednn_for_large_float32_on_amd_with_avx512(
    monkeypatch, called, capabilities, dtype, rows, taken
):
    on(monkeypatch, **capabilities)
    linear(*drawn((rows,), 64, 64, dtype))
    assert bool(called) is taken


@needs_onednn
def test_one_setting_switches_it_off_and_another_on(monkeypatch, called):
    on(monkeypatch, cpu_name="AMD EPYC", avx512_f=True)
    linear(*drawn((2048,), 64, 64), backend="torch")
    assert called == []
    linear(*drawn((2,), 3, 4), backend="onednn")
    assert called == [(2, 3)]


def test_an_older_torch_that_cannot_tell_its_processor_stays_with_its_own_product(monkeypatch, called):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    kernels.linear.faster_by_onednn.cache_clear()
    linear(*drawn((2048,), 64, 64))
    assert called == []


def test_a_torch_without_onednn_uses_its_own_product_and_says_so_if_asked(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    inputs = drawn((2048,), 64, 64)
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
