import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from kernels.effective_rank import effective_rank

METRICS = ["participation", "entropy"]
BACKENDS = ["reference", "torch"]
SIZES = [
    (1, 1),
    (1, 5),
    (2, 8),
    (5, 100),
    (63, 7),
    (64, 16),
    (65, 40),
    (100, 63),
    (127, 64),
    (257, 128),
]
every_metric = pytest.mark.parametrize("metric", METRICS)
every_backend = pytest.mark.parametrize("backend", BACKENDS)


def by_singular_values(x, metric="participation"):
    sigma = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    if metric == "entropy":
        return math.exp(entropy(sigma))
    return (sigma**2).sum() ** 2 / (sigma**4).sum()


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@every_backend
@every_metric
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("N", "D"), SIZES)
def test_it_is_the_rank_of_the_singular_values(N, D, dtype, metric, backend):
    x = drawn(N, D).astype(dtype)
    found = effective_rank(torch.from_numpy(x), metric=metric, backend=backend)
    assert found.numpy().dtype == dtype
    rounding = 1e-6 if dtype == np.float32 else 1e-11
    assert found.item() == pytest.approx(by_singular_values(x, metric), rel=rounding)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize(("N", "D"), [(1, 1), (63, 7), (5, 100), (1000, 33)])
def test_the_default_keeps_the_bits_that_organisms_have_always_seen(N, D, dtype):
    x = torch.from_numpy(drawn(N, D)).to(dtype)
    gram = x.double().transpose(-1, -2) @ x.double()
    ratio = gram.diagonal(dim1=-2, dim2=-1).sum(-1).square() / gram.square().sum((-2, -1))
    assert torch.equal(effective_rank(x), ratio.to(dtype))


@every_backend
@every_metric
def test_orthogonal_directions_of_one_size_all_count(metric, backend):
    q, _ = np.linalg.qr(drawn(9, 6))
    found = effective_rank(torch.from_numpy(3 * q), metric=metric, backend=backend)
    assert found.item() == pytest.approx(6)


@every_backend
@every_metric
@pytest.mark.parametrize(("N", "D"), [(8, 5), (5, 8), (63, 100), (100, 100)])
def test_one_direction_counts_as_one(N, D, metric, backend):
    x = torch.from_numpy(np.outer(drawn(N), drawn(D, seed=1)))
    assert effective_rank(x, metric=metric, backend=backend).item() == pytest.approx(1, abs=1e-12)


@every_backend
@every_metric
@pytest.mark.parametrize("shape", [(2, 4, 3), (2, 3, 4), (2, 0, 3), (2, 3, 0)])
def test_nothing_has_no_rank_and_no_gradient(shape, metric, backend):
    x = torch.zeros(shape, requires_grad=True)
    found = effective_rank(x, metric=metric, backend=backend)
    assert torch.equal(found, torch.zeros(2))
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert torch.equal(gradient, torch.zeros(shape))


@every_backend
@every_metric
def test_leading_axes_are_a_batch(metric, backend):
    x = drawn(2, 3, 8, 4)
    found = effective_rank(torch.from_numpy(x), metric=metric, backend=backend).numpy()
    expected = [[by_singular_values(x[i, j], metric) for j in range(3)] for i in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@every_metric
@given(st.integers(0, 1000), st.floats(1e-6, 1e6), st.integers(1, 6), st.integers(1, 6))
@settings(deadline=None)
def test_it_lies_between_one_and_the_smaller_side_and_ignores_scale_and_rotation(metric, seed, scale, N, D):
    x = drawn(N, D, seed=seed)
    turn, _ = np.linalg.qr(drawn(D, D, seed=seed + 1))
    found = effective_rank(torch.from_numpy(x), metric=metric).item()
    assert 1 - 1e-9 <= found <= min(N, D) + 1e-9
    turned = effective_rank(torch.from_numpy(scale * x @ turn), metric=metric).item()
    assert turned == pytest.approx(found, rel=1e-6)


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 6))
def test_weak_directions_count_more_by_entropy_than_by_participation(seed, N, D):
    x = torch.from_numpy(drawn(N, D, seed=seed))
    assert effective_rank(x, metric="entropy") >= effective_rank(x) - 1e-9


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_by_entropy_not_even_the_ends_of_the_range_of_numbers_matter(scale):
    x = torch.from_numpy(drawn(5, 3)).requires_grad_()
    far = (x.detach() * scale).requires_grad_()
    found, expected = effective_rank(far, metric="entropy"), effective_rank(x, metric="entropy")
    torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(found, far)[0] * scale, torch.autograd.grad(expected, x)[0]
    torch.testing.assert_close(*gradients)


@every_backend
@every_metric
@pytest.mark.parametrize(("N", "D"), [(4, 3), (3, 4), (3, 3)])
def test_its_gradient_is_that_of_finite_differences_also_where_singular_values_repeat(N, D, metric, backend):
    for start in (torch.eye(N, D, dtype=torch.float64), torch.from_numpy(drawn(N, D))):
        x = start.requires_grad_()
        assert torch.autograd.gradcheck(lambda x: effective_rank(x, metric=metric, backend=backend), (x,))


@every_backend
def test_the_gradient_of_the_entropy_has_a_closed_form_on_a_diagonal(backend):
    sigma = torch.tensor([3.0, 2.0, 2.0, 0.5], dtype=torch.float64)
    x = torch.diag(sigma).requires_grad_()
    found = effective_rank(x, metric="entropy", backend=backend)
    p = sigma / sigma.sum()
    H = -(p * p.log()).sum()
    expected = torch.diag(-H.exp() * (p.log() + H) / sigma.sum())
    torch.testing.assert_close(found, H.exp())
    torch.testing.assert_close(torch.autograd.grad(found, x)[0], expected)


@pytest.mark.parametrize(("weak", "counts"), [(1e-3, True), (1e-6, True), (1e-9, False)])
def test_by_entropy_a_weak_direction_counts_until_it_is_a_rounding(weak, counts):
    x = torch.diag(torch.tensor([1.0, weak], dtype=torch.float64)).requires_grad_()
    found = effective_rank(x, metric="entropy")
    share = weak / (1 + weak) if counts else 0.0
    assert found.item() - 1 == pytest.approx(math.exp(entropy([1 - share, share])) - 1, rel=1e-3)
    assert bool(torch.autograd.grad(found, x)[0][1, 1] > 0) is counts


@every_backend
@pytest.mark.parametrize("shape", [(63, 100), (100, 63), (100, 100)])
def test_by_entropy_unused_directions_have_gradient_zero_and_used_ones_the_same_as_alone(shape, backend):
    """Rotated, so that a singular value is zero but for roundings, and every used one occurs twice."""
    sigma = torch.tensor([2.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    left, right = (torch.from_numpy(np.linalg.qr(drawn(n, n, seed=n))[0])[:, :4] for n in shape)
    x = ((left * sigma) @ right.T).requires_grad_()
    (gradient,) = torch.autograd.grad(effective_rank(x, metric="entropy", backend=backend), x)
    core = torch.diag(sigma).requires_grad_()
    (expected,) = torch.autograd.grad(effective_rank(core, metric="entropy"), core)
    torch.testing.assert_close(gradient, left @ expected @ right.T, rtol=1e-9, atol=1e-12)


@every_metric
@pytest.mark.parametrize(("N", "D"), SIZES)
def test_gradients_of_both_paths_are_the_same_for_random_upstream_gradients(N, D, metric):
    x = torch.from_numpy(drawn(3, N, D)).requires_grad_()
    change = torch.from_numpy(drawn(3, seed=5))
    found, expected = (
        torch.autograd.grad(effective_rank(x, metric=metric, backend=backend), x, change)[0]
        for backend in ("torch", "reference")
    )
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def plainly(x, metric):
    """The definition in the precision of x."""
    sigma = torch.linalg.svdvals(x)
    if metric == "participation":
        return sigma.square().sum() ** 2 / sigma.pow(4).sum()
    p = sigma / sigma.sum()
    return torch.exp(-(p * p.log()).sum())


@every_metric
@pytest.mark.parametrize(("N", "D"), SIZES)
def test_in_float32_it_errs_at_most_twice_as_much_as_plain_torch(N, D, metric):
    x = torch.from_numpy(drawn(N, D)).float()
    results = []
    for function, dtype in ((plainly, torch.float64), (plainly, torch.float32), (effective_rank, x.dtype)):
        leaf = x.to(dtype).requires_grad_()
        found = function(leaf, metric=metric)
        results.append((found.detach(), *torch.autograd.grad(found, leaf)))
    for exact, theirs, ours in zip(*results, strict=True):
        assert (ours - exact).norm() <= 2 * (theirs - exact).norm() + 1e-7 * exact.norm() + 1e-12


@every_backend
@every_metric
def test_strides_do_not_matter(metric, backend):
    x = torch.from_numpy(drawn(7, 20))
    for view in (x[:, ::2], x.T, x[:, None, 3:].transpose(0, 1), x[:1].expand(5, 20)):
        found = effective_rank(view, metric=metric, backend=backend)
        expected = effective_rank(
            view.clone(memory_format=torch.contiguous_format), metric=metric, backend=backend
        )
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@every_metric
def test_nan_in_one_matrix_of_a_batch_stays_in_it(metric):
    x = torch.from_numpy(drawn(3, 5, 4))
    x[1, 2, 3] = torch.nan
    x.requires_grad_()
    found = effective_rank(x, metric=metric)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert found.isnan().tolist() == [False, True, False]
    assert gradient.isnan().all(-1).any(-1).tolist() == [False, True, False]
    assert gradient[[0, 2]].isfinite().all()


@every_metric
def test_fifty_repeats_give_the_same_bits_of_result_and_gradient(metric, monkeypatch):
    # New memory is not a number: what is not written is seen.
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    x = torch.from_numpy(drawn(2, 20, 63)).float().requires_grad_()

    def once():
        found = effective_rank(x.clone(), metric=metric)
        return found, *torch.autograd.grad(found.sum(), x)

    first = once()
    assert all(tensor.isfinite().all() for tensor in first)
    assert all(all(map(torch.equal, first, once())) for _ in range(49))


@every_metric
def test_asking_for_a_gradient_does_not_change_the_bits(metric):
    x = torch.from_numpy(drawn(20, 63))
    assert torch.equal(effective_rank(x, metric=metric), effective_rank(x.requires_grad_(), metric=metric))


@pytest.mark.parametrize(
    ("x", "given", "message"),
    [
        (torch.ones(3, 2), {"metric": "entropi"}, "metric is 'entropi', .* entropy; did you mean 'entropy'"),
        (
            torch.ones(3, 2),
            {"backend": "cuda"},
            "backend is 'cuda', but must be one of auto, reference, torch",
        ),
        (
            torch.ones(3, 2),
            {"backend": "triton", "metric": "entropy"},
            "triton' serves metric 'participation' alone, but metric is 'entropy'",
        ),
        (torch.ones(3, 2).long(), {}, "x must hold floating-point numbers, but its dtype is torch.int64"),
        (torch.ones(3), {}, r"x must have the axes \[..., N, D\], but its shape is \[3\]"),
        (torch.ones(1).expand(1, 10**5), {}, "takes 75 GiB; at most 16 GiB"),
    ],
)
def test_what_cannot_be_served_is_refused_at_the_door(x, given, message):
    unchecked = inspect.unwrap(
        effective_rank
    )  # as a run calls it: shapes in signatures are checked in tests only
    with pytest.raises(ValueError, match=message):
        unchecked(x, **given)


@pytest.mark.parametrize("metric", ["participation", "entropy"])
@pytest.mark.parametrize("scale", [1e-150, 1e-100, 1e80, 1e150])
def test_the_scale_of_the_vectors_does_not_matter_in_float64(scale, metric):
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(effective_rank(scale * x, metric=metric), effective_rank(x, metric=metric))


def test_the_entropy_rank_has_no_second_derivative_and_says_so():
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(effective_rank(x, metric="entropy"), x, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        first.square().sum().backward()
