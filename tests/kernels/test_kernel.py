import copy

import pytest
import torch

from kernels import backends
from kernels.kernel import AUTO, BuiltInKernel, Kernel, Visible, merged
from kernels.own_kernel import METHODS, OwnKernel, kernel_of
from organisms.pseudopods.species.options import KERNELS
from tests.fixtures.own_kernels import Absent, Attentive, Narrow

B, C, S, N, R, W = 2, 3, 5, 7, 2, 4


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def circuits(keys=S):
    return drawn(B, C, S, R), drawn(B, C, keys, R, seed=1), drawn(B, C, keys, W, seed=2)


HEADS = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
WINDOW = torch.tensor([2.0, 1.0, 9.0], dtype=torch.float64)
SEEN = {
    "all": Visible(),
    "causal, windows and scales": Visible(causal=True, scale=HEADS, window=WINDOW),
    "places": Visible(scale=0.3, window=WINDOW, positions=drawn(S, 2, seed=5)),
    "some keys": Visible(keys=torch.arange(B * S).view(B, S) % 3 > 0),
    "bias": Visible(causal=True, scale=HEADS, window=WINDOW, bias=drawn(B, C, S, S, seed=4)),
}


def defined(q, k, v, visible):
    """Key by key, from what `Visible` says."""
    weights = torch.zeros(B, C, S, k.shape[2], dtype=torch.float64)
    places = torch.arange(S, dtype=torch.float64)[:, None] if visible.positions is None else visible.positions
    scale = visible.scale if isinstance(visible.scale, torch.Tensor) else torch.full((C,), visible.scale)
    for b, c, i, j in torch.cartesian_prod(*map(torch.arange, weights.shape)).tolist():
        hidden = visible.causal and j > i
        hidden |= visible.window is not None and bool((places[i] - places[j]).norm() >= visible.window[c])
        hidden |= visible.keys is not None and not visible.keys[b, j]
        score = float(scale[c] * (q[b, c, i] @ k[b, c, j]))
        score += 0.0 if visible.bias is None else float(visible.bias[b, c, i, j])
        weights[b, c, i, j] = 0.0 if hidden else torch.tensor(score, dtype=torch.float64).exp()
    weights = weights / weights.sum(-1, keepdim=True)
    return weights @ v, weights


@pytest.mark.parametrize("path", ["auto", "reference", "torch"])
@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_every_path_attends_as_the_definition_says(path, seen):
    given, kernel = circuits(), BuiltInKernel(path)
    output, weights = defined(*given, seen)
    torch.testing.assert_close(kernel.attention(*given, seen), output)
    for found, wanted in zip(kernel.weighted(*given, seen), (output, weights), strict=True):
        torch.testing.assert_close(found, wanted)
    if seen.bias is None:
        found, where = kernel.observed(*given, seen)
        torch.testing.assert_close(found, output)
        torch.testing.assert_close(where.largest, weights.amax(-1).mean((0, 2)))


def test_keys_may_be_more_than_queries_where_there_is_a_bias():
    q, k, v = circuits(keys=N)
    seen = Visible(bias=drawn(B, C, S, N, seed=3))
    for path in ("auto", "reference"):
        output, weights = BuiltInKernel(path).weighted(q, k, v, seen)
        torch.testing.assert_close(output, defined(q, k, v, seen)[0])
        torch.testing.assert_close(BuiltInKernel(path).attention(q, k, v, seen), output)
        assert weights.shape == (B, C, S, N)


def test_nothing_hidden_is_no_bias():
    assert merged(Visible(scale=HEADS), circuits()[0]) is None


@pytest.mark.parametrize("path", ["auto", "reference", "torch"])
def test_products_ranks_and_correlations_are_the_same_by_every_path(path):
    kernel, x, weight, bias = BuiltInKernel(path), drawn(B, 9, R), drawn(W, R), drawn(W)
    torch.testing.assert_close(kernel.product(x, weight, bias), x @ weight.T + bias)
    squares = torch.linalg.svdvals(x) ** 2
    torch.testing.assert_close(kernel.effective_rank(x), squares.sum(-1) ** 2 / (squares**2).sum(-1))
    torch.testing.assert_close(kernel.correlation(x[0]), torch.corrcoef(x[0].T))


def test_what_a_kernel_of_ones_own_lacks_is_ours():
    given, seen, kernel = circuits(), SEEN["places"], kernel_of(Attentive())
    nothing = torch.zeros(B, C, S, W, dtype=torch.float64)
    assert torch.equal(kernel.attention(*given, seen), nothing)
    output, weights = kernel.weighted(*given, seen)
    assert torch.equal(output, nothing)
    assert torch.equal(weights, AUTO.weighted(*given, seen)[1])
    output, where = kernel.observed(*given, seen)
    assert torch.equal(output, nothing)
    assert torch.equal(where.span, AUTO.observed(*given, seen)[1].span)
    x = drawn(9, R)
    assert torch.equal(kernel.product(x, x[:2]), AUTO.product(x, x[:2]))
    assert torch.equal(kernel.effective_rank(x), AUTO.effective_rank(x))
    assert torch.equal(kernel.correlation(x), AUTO.correlation(x))


class Wrong:
    """Each method returns one number."""

    def __getattr__(self, name):
        if name not in METHODS:
            raise AttributeError(name)
        return lambda *arguments: torch.zeros(1)


def test_results_of_another_shape_are_refused_by_name():
    q, k, v = circuits()
    with pytest.raises(
        ValueError,
        match=r"^kernel tests.fixtures.own_kernels:Narrow: attention must return a tensor \[2, 3, 5, 4\] on cpu, "
        r"but returned \[2, 3, 5, 1\] on cpu$",
    ):
        kernel_of(Narrow()).attention(q, k, v, Visible())
    wrong = kernel_of(Wrong(), "mine:Wrong")
    calls = {
        "product": (q, q[0, 0]),
        "attention": (q, k, v, Visible()),
        "weighted": (q, k, v, Visible()),
        "observed": (q, k, v, Visible()),
        "effective_rank": (q,),
        "correlation": (q,),
    }
    for method in METHODS:
        with pytest.raises(ValueError, match=rf"^kernel mine:Wrong: {method} must return .*\[1\] on cpu$"):
            getattr(wrong, method)(*calls[method])


class Untold:
    def weighted(self, q, k, v, visible):
        return v, v[..., :1]

    def observed(self, q, k, v, visible):
        return v, 3

    def product(self, x, weight, bias):
        return 3


def test_second_results_and_things_that_are_no_tensors_are_refused():
    q, k, v = circuits()
    own = kernel_of(Untold(), "mine:Untold")
    with pytest.raises(
        ValueError, match=r"^kernel mine:Untold: weighted must return a tensor \[2, 3, 5, 5\]"
    ):
        own.weighted(q, k, v, Visible())
    with pytest.raises(
        ValueError, match=r"^kernel mine:Untold: observed must return AttentionStatistics second"
    ):
        own.observed(q, k, v, Visible())
    with pytest.raises(ValueError, match=r"but returned a int$"):
        own.product(q, q[0, 0])


def test_kernels_are_told_by_name_or_as_objects():
    assert kernel_of(None) is AUTO
    assert kernel_of("reference") == BuiltInKernel("reference")
    own = OwnKernel(Attentive(), "mine")
    assert kernel_of(own) is own
    assert kernel_of(Attentive()).name == "tests.fixtures.own_kernels:Attentive"
    assert isinstance(own, Kernel)
    assert isinstance(copy.deepcopy(own).own, Attentive)
    assert KERNELS == backends.BACKENDS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("refrence", "^kernel is 'refrence', but must be one of auto, .*; did you mean 'reference'"),
        (Absent(), "^kernel must be auto, .* one or more of the methods product, .*, but is a Absent$"),
        (Attentive, "^kernel must be .*, but is the class Attentive itself$"),
    ],
)
def test_what_is_no_kernel_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        kernel_of(given)
