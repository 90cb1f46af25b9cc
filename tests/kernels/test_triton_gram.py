"""The Triton paths of correlation and effective rank, in Triton's interpreter."""

import pytest
import torch

from kernels.correlation import correlation
from kernels.effective_rank import effective_rank
from tests.kernels.interpreted import only_interpreted

only_interpreted()

KINDS = ["correlation", "gram"]
SIZES = [
    (1, 8),
    (1, 63),
    (2, 1),
    (63, 1),
    (63, 100),
    (64, 16),
    (65, 40),
    (100, 63),
    (127, 64),
    (257, 128),
    (33, 130),
    (2, 3, 7, 65),
]


def drawn(*shape, dtype=torch.float32, seed=0):
    """Features of unlike means and lengths, all exactly numbers of the dtype."""
    stream = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=stream) * (0.5 + torch.rand(shape[-1], generator=stream))
    return (x + torch.randn(shape[-1], generator=stream)).to(dtype)


def with_gradient(function, x, seed=7):
    """Give a result and its gradient for a random upstream gradient, both in float64."""
    x = x.detach().requires_grad_()
    found = function(x)
    change = drawn(*found.shape, seed=seed) if found.ndim else torch.tensor(0.7)
    (gradient,) = torch.autograd.grad(found, x, change.to(found))
    return found.detach().double(), gradient.double()


def on_triton(x, kind):
    return correlation(x, kind=kind, dtype=torch.float32, backend="triton")


def assert_near(found, expected, error):
    for ours, exact in zip(found, expected, strict=True):
        assert (ours - exact).abs().max() <= error * (1 + exact.abs().max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SIZES)
def test_values_and_gradients_are_those_of_the_reference(shape, kind):
    x = drawn(*shape)
    expected = with_gradient(lambda x: correlation(x, kind=kind, backend="reference"), x.double())
    assert_near(with_gradient(lambda x: on_triton(x, kind), x), expected, 2e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SIZES)
def test_it_errs_at_most_twice_as_much_as_plain_torch(shape, kind):
    x = drawn(*shape)
    exact = with_gradient(lambda x: correlation(x, kind=kind, backend="torch"), x.double())
    plain = with_gradient(lambda x: correlation(x, kind=kind, dtype=torch.float32, backend="torch"), x)
    found = with_gradient(lambda x: on_triton(x, kind), x)
    for ours, torchs, wanted in zip(found, plain, exact, strict=True):
        rounding = 1e-7 * (1 + wanted.abs().max())
        assert (ours - wanted).abs().max() <= 2 * (torchs - wanted).abs().max() + rounding


@pytest.mark.parametrize("kind", KINDS)
def test_float16_is_added_up_in_float32(kind):
    x = drawn(63, 65, dtype=torch.float16)
    expected = with_gradient(lambda x: correlation(x, kind=kind), x.double())
    assert_near(with_gradient(lambda x: on_triton(x, kind), x), expected, 1e-3)
    summed = torch.full((4096, 1), 0.25, dtype=torch.float16)  # in float16 it would stop growing at 128
    assert on_triton(summed, "gram").item() == 256


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_symmetric_bit_for_bit_and_the_same_in_every_repeat(kind):
    x = drawn(70, 100)
    first = with_gradient(lambda x: on_triton(x, kind), x)
    assert torch.equal(first[0], first[0].T)
    for _ in range(4):
        assert all(map(torch.equal, first, with_gradient(lambda x: on_triton(x, kind), x)))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_a_constant_feature_correlates_with_nothing_and_has_gradient_zero(constant):
    x = drawn(10, 70)
    x[:, 65] = constant
    found, gradient = with_gradient(lambda x: on_triton(x, "correlation"), x)
    alone = torch.zeros(70, dtype=torch.float64)
    alone[65] = 1
    assert torch.equal(found[65], alone)
    assert torch.equal(found[:, 65], alone)
    assert gradient.isfinite().all()
    assert not gradient[:, 65].any()


def test_one_feature_correlates_with_itself_whatever_it_is():
    found, gradient = with_gradient(lambda x: on_triton(x, "correlation"), drawn(63, 1))
    assert found.item() == 1
    assert not gradient.any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_the_result_is_written(kind, monkeypatch):
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *shape, **given: empty(*shape, **given).fill_(torch.nan))
    assert on_triton(drawn(2, 5, 130), kind).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_strides_do_not_matter(kind):
    x = drawn(2, 20, 66)
    for view in (x[:, ::2], x.transpose(-1, -2), x[..., ::3], x[:1].expand(2, 20, 66)):
        assert torch.equal(
            on_triton(view, kind), on_triton(view.clone(memory_format=torch.contiguous_format), kind)
        )


def test_nothing_to_multiply_starts_no_program():
    assert torch.equal(on_triton(torch.ones(0, 2), "gram"), torch.zeros(2, 2))
    assert on_triton(torch.ones(0, 3, 2), "correlation").shape == (0, 2, 2)
    assert on_triton(torch.ones(3, 0), "correlation").shape == (0, 0)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("shape", [(1, 1), (63, 5), (5, 63), (66, 100), (3, 7, 2)])
def test_the_participation_ratio_is_that_of_the_reference_at_any_scale(shape, scale):
    x = drawn(*shape) * scale
    expected = with_gradient(lambda x: effective_rank(x, backend="reference"), x.double())
    found = with_gradient(lambda x: effective_rank(x, backend="triton"), x)
    assert_near((found[0], found[1] * scale), (expected[0], expected[1] * scale), 5e-6)


def test_nothing_has_no_rank_and_no_gradient():
    found, gradient = with_gradient(lambda x: effective_rank(x, backend="triton"), torch.zeros(2, 4, 3))
    assert not found.any()
    assert not gradient.any()
