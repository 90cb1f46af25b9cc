import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from kernels.correlation import correlation


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape) @ np.random.default_rng(9).normal(
        size=(shape[-1],) * 2
    )


BACKENDS = ["reference", "torch"]
KINDS = ["correlation", "gram"]
SIZES = [
    (2, 1),
    (2, 8),
    (3, 5),
    (63, 7),
    (63, 100),
    (64, 16),
    (65, 40),
    (100, 2),
    (127, 64),
    (257, 128),
]


def numpys(x, kind):
    D = x.shape[-1]
    return x.T @ x if kind == "gram" else np.corrcoef(x, rowvar=False).reshape(D, D)


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("N", "D"), SIZES)
def test_it_is_numpys(N, D, kind, backend):
    x = drawn(N, D)
    found = correlation(torch.from_numpy(x), kind=kind, backend=backend)
    np.testing.assert_allclose(found.numpy(), numpys(x, kind), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize(("N", "D"), [*SIZES, (1, 1), (1000, 33)])
def test_the_default_keeps_the_bits_that_organisms_have_always_seen(N, D, dtype):
    x = torch.from_numpy(drawn(N, D)).to(dtype)
    x[:, D // 2 + 1 :] = 0.1
    centred = x.double() - x.double().mean(-2, keepdim=True)
    varies = x.amax(-2, keepdim=True) > x.amin(-2, keepdim=True)
    norms = centred.norm(dim=-2, keepdim=True)
    unit = torch.where(varies, centred / torch.where(norms > 0, norms, torch.ones_like(norms)), 0.0)
    expected = unit.transpose(-1, -2) @ unit
    expected.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    assert torch.equal(correlation(x), expected.to(dtype))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("N", "D"), SIZES)
def test_in_float32_it_errs_at_most_twice_as_much_as_plain_torch(N, D, kind):
    x = torch.from_numpy(drawn(N, D)).float()
    exact = torch.from_numpy(numpys(x.double().numpy(), kind))
    plain = x.T @ x if kind == "gram" else torch.corrcoef(x.T).reshape(D, D)
    found = correlation(x, kind=kind, dtype=torch.float32)
    assert (found - exact).abs().max() <= 2 * (plain - exact).abs().max() + 1e-7


def with_gradient(function, x, change):
    x = x.detach().requires_grad_()
    found = function(x)
    return found.detach(), *torch.autograd.grad(found, x, change.to(found))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("N", "D"), [(1, 8), *SIZES])
def test_gradients_for_random_upstream_gradients_are_those_of_the_reference_in_float64(N, D, kind):
    x, change = torch.from_numpy(drawn(N, D)), torch.from_numpy(drawn(D, D, seed=3))
    found, expected = (
        with_gradient(lambda x, path=path: correlation(x, kind=kind, backend=path), x, change)
        for path in ("torch", "reference")
    )
    for ours, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("N", "D"), SIZES)
def test_gradients_in_float32_err_at_most_twice_as_much_as_plain_torchs(N, D, kind):
    x, change = torch.from_numpy(drawn(N, D)).float(), torch.from_numpy(drawn(D, D, seed=3))

    def plain(x):
        return x.T @ x if kind == "gram" else torch.corrcoef(x.T).reshape(D, D)

    _, exact = with_gradient(lambda x: correlation(x, kind=kind, backend="reference"), x.double(), change)
    _, theirs = with_gradient(plain, x, change)
    _, ours = with_gradient(lambda x: correlation(x, kind=kind, dtype=torch.float32), x, change)
    size = exact.norm()
    if kind == "correlation":
        # The gradient can be a small difference of large terms, and is zero for two vectors: it rounds as they do.
        deviations = (x.double() - x.double().mean(0)).norm(dim=0)
        size = max(size, ((change + change.T).norm(dim=0) / deviations).norm())
    assert (ours - exact).norm() <= 2 * (theirs - exact).norm() + 1e-7 * (1 + size)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_arithmetic_is_what_was_asked_for(kind):
    x = torch.from_numpy(drawn(63, 7))
    single, double = (correlation(x, kind=kind, dtype=dtype) for dtype in (torch.float32, torch.float64))
    assert single.dtype == torch.float64
    assert torch.equal(single, single.float().double())
    assert not torch.equal(double, double.float().double())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 1), (2, 5, 3), (4, 6)])
def test_gradients_are_those_of_finite_differences(shape, kind, backend):
    x = torch.from_numpy(drawn(*shape)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: correlation(x, kind=kind, backend=backend), (x,))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e-310, 1e6])
def test_a_constant_feature_has_gradient_zero_and_changes_no_other_gradient(constant, dtype, backend):
    x = torch.from_numpy(drawn(10, 4))
    x[:, 2] = constant
    x.requires_grad_()
    change = torch.from_numpy(drawn(4, 4, seed=2))
    (gradient,) = torch.autograd.grad(correlation(x, dtype=dtype, backend=backend), x, change)
    rest = x.detach()[:, [0, 1, 3]].requires_grad_()
    (expected,) = torch.autograd.grad(correlation(rest), rest, change[[0, 1, 3]][:, [0, 1, 3]])
    assert not gradient[:, 2].any()
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(gradient[:, [0, 1, 3]], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_fifty_repeats_give_the_same_bits_of_result_and_gradient(kind, dtype, monkeypatch):
    # New memory is not a number: what is not written is seen.
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    x = torch.from_numpy(drawn(2, 63, 100)).float().requires_grad_()

    def once():
        found = correlation(x.clone(), kind=kind, dtype=dtype)
        return found, *torch.autograd.grad(found.square().sum(), x)

    first = once()
    assert all(tensor.isfinite().all() for tensor in first)
    assert all(all(map(torch.equal, first, once())) for _ in range(49))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_strides_do_not_matter(kind, backend):
    x = torch.from_numpy(drawn(7, 20))
    for view in (x[:, ::2], x.T, x[:, None, 3:].transpose(0, 1), x[:1].expand(5, 20)):
        found = correlation(view, kind=kind, backend=backend)
        expected = correlation(view.clone(memory_format=torch.contiguous_format), kind=kind, backend=backend)
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    ("x", "given", "message"),
    [
        (torch.ones(3, 2), {"kind": "grams"}, "kind is 'grams', .* correlation, gram; did you mean 'gram'"),
        (torch.ones(3, 2), {"backend": "tritn"}, "backend is 'tritn', .* triton; did you mean 'triton'"),
        (torch.ones(3, 2), {"dtype": torch.float16}, "dtype is 'torch.float16', but must be one of"),
        (torch.ones(3, 2), {"backend": "triton"}, "computes in float32, but dtype is torch.float64"),
        (torch.ones(3, 2).int(), {}, "x must hold floating-point numbers, but its dtype is torch.int32"),
        (torch.ones(3), {}, r"x must have the axes \[..., N, D\], but its shape is \[3\]"),
        (torch.ones(0, 2), {}, r"x holds no vectors, .* its shape is \[0, 2\]"),
        (torch.ones(1).expand(1, 10**6), {}, "takes 7451 GiB; at most 16 GiB"),
    ],
)
def test_what_cannot_be_served_is_refused_at_the_door(x, given, message):
    unchecked = inspect.unwrap(
        correlation
    )  # as a run calls it: shapes in signatures are checked in tests only
    with pytest.raises(ValueError, match=message):
        unchecked(x, **given)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_vectors_have_a_gram_matrix_of_zeros_and_no_features_an_empty_one(backend):
    assert torch.equal(correlation(torch.ones(0, 2), kind="gram", backend=backend), torch.zeros(2, 2))
    assert correlation(torch.ones(3, 0), backend=backend).shape == (0, 0)


def test_leading_axes_are_a_batch():
    x = torch.from_numpy(drawn(2, 3, 11, 4))
    found = correlation(x)
    assert found.shape == (2, 3, 4, 4)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(found[i, j], correlation(x[i, j]))


def test_float32_is_computed_in_float64():
    x = drawn(63, 5).astype(np.float32) + 1000
    found = correlation(torch.from_numpy(x))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), np.corrcoef(x.astype(np.float64), rowvar=False), atol=1e-7)


@pytest.mark.parametrize(
    "given",
    [{}, {"dtype": torch.float32}, {"backend": "reference"}],
    ids=["default", "in float32", "reference"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [0.0, 0.1, -1 / 3, 1e6])
@pytest.mark.parametrize("N", [1, 3, 7, 10, 63])
def test_a_constant_feature_correlates_with_nothing(N, constant, dtype, given):
    x = torch.from_numpy(drawn(N, 3)).to(dtype)
    x[:, 1:] = constant
    found = correlation(x, **given)
    assert torch.equal(found[1:], torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=dtype))
    assert torch.equal(found[:, 1:], found[1:].T)


@given(
    st_numpy.arrays(np.float64, (6, 3), elements=st.floats(-100, 100)),
    st.floats(0.1, 10),
    st.floats(-10, 10),
)
@settings(deadline=None)
def test_it_is_symmetric_bounded_and_blind_to_units(x, factor, shift):
    x = np.round(x, 3)
    found = correlation(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, found.T)
    assert (np.abs(found) <= 1 + 1e-12).all()
    assert (np.diag(found) == 1).all()
    varying = [column for column in range(3) if np.ptp(x[:, column]) > 0]
    changed = correlation(torch.from_numpy(factor * x + shift)).numpy()
    np.testing.assert_allclose(changed[varying][:, varying], found[varying][:, varying], atol=1e-9)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_what_is_not_a_number_is_not_taken_for_a_constant(backend):
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[0, 0] = torch.nan
    found = correlation(x, backend=backend)
    assert found[0, 1:].isnan().all()
    assert not found[1:, 1:].isnan().any()


@pytest.mark.parametrize("scale", [1e-165, 1e-80, 1e80, 1e200])
def test_the_scale_of_the_vectors_does_not_matter(scale):
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(correlation(scale * x), correlation(x))
