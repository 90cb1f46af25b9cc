from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qd.genes import GeneRange
from qd.records import Genome
from qd.variation import factored, gaussian, line, mixed, norm_matched, rescaled, resize, scaled

D = 9
RANKS = {"qk": "rank", "ov": "width"}
SPACE = {"rank": GeneRange(1, 12, integer=True), "width": GeneRange(1, 12, integer=True)}
SIZES = st.integers(1, 12)
SEEDS = st.integers(0, 10_000)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def genome(rank: int = 4, width: int = 3, seed: int = 0) -> Genome:
    generator = rng(seed)
    shapes = {"qk.U": (D, rank), "qk.V": (rank, D), "ov.U": (D, width), "ov.V": (width, D), "bias": (D,)}
    arrays = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return Genome("pseudopods", 0, (("rank", float(rank)), ("width", float(width))), arrays)


def product(genome: Genome, name: str) -> np.ndarray:
    return genome.arrays[f"{name}.U"].astype(float) @ genome.arrays[f"{name}.V"].astype(float)


def attention(genome: Genome, h: np.ndarray) -> np.ndarray:
    logits = h @ product(genome, "qk") @ h.T / np.sqrt(dict(genome.genes)["rank"])
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ h @ product(genome, "ov")


def fit(seed: int = 0):
    return partial(resize, ranks=RANKS, rng=rng(seed))


def mix(first: Genome, second: Genome, line_sigma: float = 0.3, sigma: float = 0.0, seed: int = 0) -> Genome:
    return line(first, second, sigma, line_sigma, 0.0, SPACE, rng(seed), RANKS)


def test_without_noise_or_new_genes_gaussian_is_a_copy():
    copy = gaussian(genome(), 0.0, 0.0, SPACE, fit(), rng())
    assert copy.genes == genome().genes
    for name, array in genome().arrays.items():
        assert copy.arrays[name].tobytes() == array.tobytes()


def test_noise_is_relative_to_each_array():
    large = Genome(
        "x", 0, (), {"a": np.full((200, 50), 3.0, np.float32), "b": np.full(9000, 0.01, np.float32)}
    )
    noisy = gaussian(large, 0.1, 0.0, {}, lambda value, genes: value, rng())
    for name, size in (("a", 3.0), ("b", 0.01)):
        noise = noisy.arrays[name] - large.arrays[name]
        assert noise.std() == pytest.approx(0.1 * size, rel=0.05)
        assert abs(noise.mean()) < 0.1 * size / 20


def test_noise_is_drawn_in_float64_in_the_order_of_names_and_rounded_once():
    generator, given_ = rng(3), genome()
    noisy = gaussian(given_, 0.2, 0.0, {}, lambda value, genes: value, rng(3))
    for name in sorted(given_.arrays):
        wide = given_.arrays[name].astype(np.float64)
        expected = wide + 0.2 * np.sqrt(np.mean(wide**2)) * generator.standard_normal(wide.shape)
        assert noisy.arrays[name].dtype == np.float32
        np.testing.assert_array_equal(noisy.arrays[name], expected.astype(np.float32))


def test_rescaling_keeps_directions_and_draws_a_factor_for_each_array_in_the_order_of_names():
    given_, logs = genome(), 0.4 * rng(3).standard_normal(5)
    scaled = rescaled(given_, 0.4, rng(3))
    assert scaled.genes == given_.genes
    for name, log in zip(sorted(given_.arrays), logs, strict=True):
        expected = given_.arrays[name].astype(np.float64) * np.exp(log)
        assert scaled.arrays[name].dtype == np.float32
        np.testing.assert_allclose(scaled.arrays[name], expected, rtol=1e-7)
    same = rescaled(given_, 0.0, rng())
    assert all(same.arrays[name].tobytes() == array.tobytes() for name, array in given_.arrays.items())


def test_scaling_multiplies_the_arrays_that_are_named_and_no_others():
    given_ = genome()
    name, *others = sorted(given_.arrays)
    made = scaled(given_, [name], 0.3)
    assert made.arrays[name].dtype == np.float32
    np.testing.assert_allclose(made.arrays[name], 0.3 * given_.arrays[name], rtol=1e-6)
    assert all(made.arrays[other] is given_.arrays[other] for other in others)
    assert (made.genes, made.depth, made.family) == (given_.genes, given_.depth, given_.family)
    assert scaled(given_, [name], 1.0).arrays[name].tobytes() == given_.arrays[name].tobytes()
    with pytest.raises(KeyError):
        scaled(given_, ["absent"], 0.5)


def test_the_size_of_rescaling_is_the_deviation_of_the_logarithms():
    one = Genome("x", 0, (), {f"{n:04}": np.ones(1, np.float32) for n in range(4000)})
    logs = np.log([array[0] for array in rescaled(one, 0.4, rng()).arrays.values()])
    assert logs.std() == pytest.approx(0.4, rel=0.05)
    assert abs(logs.mean()) < 0.03


@given(SIZES, SIZES, SEEDS)
@settings(max_examples=50, deadline=None)
def test_every_child_has_the_shapes_that_its_genes_say(rank, width, seed):
    parents = genome(rank, width, seed), genome(width, rank, seed + 1)
    children = (
        gaussian(parents[0], 0.1, 0.5, SPACE, fit(seed), rng(seed)),
        line(*parents, 0.1, 0.3, 0.5, SPACE, rng(seed), RANKS),
    )
    for child in children:
        genes = dict(child.genes)
        for name, gene in RANKS.items():
            assert child.arrays[f"{name}.U"].shape == (D, genes[gene])
            assert child.arrays[f"{name}.V"].shape == (genes[gene], D)
        assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in child.arrays.values())


@given(SIZES, SIZES, SEEDS)
@settings(max_examples=50, deadline=None)
def test_growing_keeps_the_product_and_shrinking_back_restores_it(small, extra, seed):
    before = genome(small, 2, seed)
    grown = resize(before, (("rank", float(small + extra)), ("width", 2.0)), RANKS, rng(seed))
    np.testing.assert_allclose(product(grown, "qk"), product(before, "qk"), atol=1e-13)
    np.testing.assert_array_equal(grown.arrays["qk.U"][:, :small], before.arrays["qk.U"])
    assert not grown.arrays["qk.V"][small:].any()
    assert np.linalg.norm(grown.arrays["qk.U"][:, small:]) > 0  # so that gradients reach the new rows of V
    back = resize(grown, before.genes, RANKS, rng(seed))
    np.testing.assert_allclose(product(back, "qk"), product(before, "qk"), atol=1e-4)
    assert back.arrays["ov.U"].tobytes() == before.arrays["ov.U"].tobytes()


def test_shrinking_keeps_the_best_approximation():
    before = genome(6, 3)
    small = resize(before, (("rank", 2.0), ("width", 3.0)), RANKS, rng())
    tail = np.linalg.svd(product(before, "qk"), compute_uv=False)[2:]
    assert np.linalg.norm(product(small, "qk") - product(before, "qk")) == pytest.approx(
        np.linalg.norm(tail), rel=1e-5
    )


@given(SEEDS, st.floats(0, 2))
@settings(max_examples=50, deadline=None)
def test_a_line_lies_on_the_line_between_the_products(seed, line_sigma):
    # Parents of rank 4 whose products share their spaces, so that every mixture has rank 4 as well.
    first = genome(4, 3, seed)
    second = replace(
        first, arrays={n: a if n.endswith(".U") else 2 * a[::-1].copy() for n, a in first.arrays.items()}
    )
    child = mix(first, second, line_sigma, seed=seed)
    step = line_sigma * rng(seed).standard_normal()
    for name in ("qk", "ov"):
        expected = product(first, name) + step * (product(second, name) - product(first, name))
        np.testing.assert_allclose(product(child, name), expected, atol=1e-3, rtol=1e-4)
    bias = first.arrays["bias"] + step * (second.arrays["bias"].astype(float) - first.arrays["bias"])
    np.testing.assert_allclose(child.arrays["bias"], bias, rtol=1e-6)


@given(SEEDS, st.lists(st.floats(-1, 1), min_size=0, max_size=3))
@settings(max_examples=50, deadline=None)
def test_a_mixture_is_the_sum_of_its_steps_in_products(seed, steps):
    first, others = genome(9, 9, seed), [genome(4, 3, seed + n + 1) for n in range(len(steps))]
    child = mixed(first, others, steps, 0.0, first.genes, rng(), RANKS)
    for name in ("qk", "ov"):
        ways = [product(other, name) - product(first, name) for other in others]
        expected = product(first, name) + sum(step * way for step, way in zip(steps, ways, strict=True))
        np.testing.assert_allclose(product(child, name), expected, atol=1e-4)
    bias = first.arrays["bias"].astype(float)
    bias = bias + sum(step * (other.arrays["bias"] - bias) for step, other in zip(steps, others, strict=True))
    np.testing.assert_allclose(child.arrays["bias"], bias, atol=1e-5)
    assert (child.genes, child.depth) == (first.genes, first.depth)


def test_a_line_does_not_depend_on_the_gauge_of_the_factors():
    first, second = genome(4, 3, 1), genome(4, 3, 2)
    turn = rng(5).normal(size=(4, 4))
    turned = {"qk.U": second.arrays["qk.U"] @ turn, "qk.V": np.linalg.inv(turn) @ second.arrays["qk.V"]}
    same = replace(second, arrays=dict(second.arrays) | turned)
    h = rng(6).normal(size=(5, D)) / 3
    children = [mix(first, other, seed=7) for other in (second, same)]
    np.testing.assert_allclose(attention(children[0], h), attention(children[1], h), atol=1e-4)


def test_a_line_without_a_step_computes_what_the_first_parent_does():
    first, second = genome(4, 3, 1), genome(4, 3, 2)
    h = rng(6).normal(size=(5, D)) / 3
    np.testing.assert_allclose(attention(mix(first, second, 0.0), h), attention(first, h), atol=1e-5)


def test_a_rank_above_the_smaller_side_is_padded():
    child = mix(genome(12, 3, 1), genome(12, 3, 2))
    assert child.arrays["qk.U"].shape == (D, 12)
    assert not child.arrays["qk.V"][D:].any()


def test_shrinking_to_a_rank_above_the_smaller_side_keeps_the_product():
    before = genome(12, 3)
    found = resize(before, (("rank", 11.0), ("width", 3.0)), RANKS, rng())
    assert found.arrays["qk.U"].shape == (D, 11)
    np.testing.assert_allclose(product(found, "qk"), product(before, "qk"), atol=1e-5)


def test_the_same_generator_gives_the_same_child():
    one, other = (mix(genome(seed=1), genome(seed=2), sigma=0.1, seed=4) for _ in range(2))
    assert all(one.arrays[name].tobytes() == other.arrays[name].tobytes() for name in one.arrays)


@given(SIZES, SEEDS)
@settings(max_examples=30, deadline=None)
def test_norm_matched_has_the_norms_and_nothing_else(rank, seed):
    own, drawn = genome(rank, 3, seed), norm_matched(genome(rank, 3, seed), rng(seed + 1))
    assert drawn.genes == own.genes
    for name in ("qk", "ov"):
        ours, theirs = product(own, name), product(drawn, name)
        assert np.linalg.norm(theirs) == pytest.approx(np.linalg.norm(ours), rel=1e-5)
        assert np.linalg.norm(ours - theirs) > 0.1 * np.linalg.norm(ours)
    assert np.linalg.norm(drawn.arrays["bias"]) == pytest.approx(np.linalg.norm(own.arrays["bias"]), rel=1e-5)
    assert all(drawn.arrays[name].shape == array.shape for name, array in own.arrays.items())


def test_factored_names_the_pairs():
    assert factored(genome()) == ("ov", "qk")


@pytest.mark.parametrize(
    "arrays",
    [{"qk.U": np.ones((3, 2))}, {"qk.U": np.ones((3, 2)), "qk.V": np.ones((3, 2))}, {"qk.V": np.ones(3)}],
)
def test_factors_must_come_in_fitting_pairs(arrays):
    with pytest.raises(ValueError, match=r"matrix qk needs factors qk.U \[rows, rank\] and qk.V"):
        factored(Genome("x", 0, (), arrays))


@pytest.mark.parametrize("ranks", [{"no": "rank"}, {"qk": "no"}])
def test_resize_names_what_is_not_there(ranks):
    with pytest.raises(ValueError, match=r"is set by gene .* factored matrices are \('ov', 'qk'\)"):
        resize(genome(), genome().genes, ranks, rng())


@pytest.mark.parametrize("rank", [0.0, 2.5])
def test_resize_refuses_sizes_that_are_not_whole(rank):
    with pytest.raises(ValueError, match="gene 'rank' sets a size and must be a whole number from 1"):
        resize(genome(), (("rank", rank), ("width", 3.0)), RANKS, rng())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"family": "towers"}, "family"),
        ({"depth": 1}, "depth"),
        ({"arrays": {"bias": np.ones(D, np.float32)}}, "factored matrices"),
        ({"arrays": dict(genome().arrays) | {"bias": np.ones(3, np.float32)}}, "shapes"),
    ],
)
def test_a_line_refuses_parents_of_two_kinds(change, what):
    with pytest.raises(ValueError, match=f"only genomes of one kind can be mixed; their {what} differ"):
        mix(genome(), replace(genome(), **change))


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf")])
def test_noise_must_be_finite_and_not_negative(sigma):
    with pytest.raises(ValueError, match="sigma must be finite and not negative"):
        gaussian(genome(), sigma, 0.0, SPACE, fit(), rng())
    with pytest.raises(ValueError, match="sigma"):
        rescaled(genome(), sigma, rng())
    with pytest.raises(ValueError, match="line_sigma must be finite and not negative"):
        mix(genome(), genome(), line_sigma=sigma)
