import inspect
import math
from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from organisms.experts.routing.router import BaseRouter
from organisms.experts.routing.scores import gumbel
from tests.organisms.experts.small_routers import BY_TOKENS, NAMES, WIDTH, drawn, generator, small_router

X = drawn(40, WIDTH)
MASK = torch.arange(40) % 5 != 0
as_users_call_it = inspect.unwrap(BaseRouter.forward)


def same(first, second, rtol=0.0, atol=0.0):
    """See that two routings hold the same numbers."""
    for field in fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, torch.Tensor):
            torch.testing.assert_close(one, other, rtol=rtol, atol=atol, msg=field.name)


@pytest.mark.parametrize("name", BY_TOKENS)
@given(
    st.integers(0, 99),
    st.integers(0, 30),
    st.integers(1, 4),
    st.sampled_from(["softmax", "sigmoid"]),
    st.booleans(),
)
def test_each_token_has_k_different_experts_with_weights_of_one(name, seed, tokens, k, scores, training):
    router = small_router(name, seed, k=k, scores=scores, norm_topk=True, use_rms_norm=seed % 2 == 0)
    info = router.train(training)(drawn(tokens, WIDTH, seed=seed) * 10)
    assert all(len(set(row)) == k for row in info.experts.tolist())
    assert ((info.experts >= 0) & (info.experts < 8)).all()
    assert info.kept.all()
    assert info.loads.sum() == tokens * k
    torch.testing.assert_close(info.weights.sum(1), torch.ones(tokens))


@pytest.mark.parametrize("capacity", ["order_agnostic", "causal"])
@given(st.integers(0, 99), st.integers(8, 40), st.floats(0.6, 1.5), st.booleans())
def test_no_expert_exceeds_its_capacity_and_kept_weights_sum_to_one(
    capacity, seed, tokens, factor, renorm_after_drops
):
    router = small_router(
        seed=seed, capacity=capacity, capacity_factor=factor, renorm_after_drops=renorm_after_drops
    )
    info = router(drawn(tokens, WIDTH, seed=seed))
    assert info.loads.max() <= info.capacity == max(1, int(factor * tokens * 2 / 8))
    assert not (info.kept & ~info.chosen).any()
    assert not info.weights[~info.kept].any()
    sums = info.weights.sum(1)[info.kept.any(1)]
    if renorm_after_drops:
        torch.testing.assert_close(sums, torch.ones_like(sums))
    else:
        logs = info.logits.gather(1, info.experts).log_softmax(1)
        torch.testing.assert_close(info.weights, logs.exp() * info.kept)


def test_capacities_drop_something_in_training_and_nothing_in_evaluation():
    for capacity in ("order_agnostic", "causal"):
        router = small_router(capacity=capacity, capacity_factor=0.75)
        assert 0 < router(X).loads.sum() < 80
        assert router.eval()(X).kept.all()
    with pytest.raises(
        ValueError, match=r"capacity_factor 0\.5 gives an expert a capacity of 0 for 2 tokens"
    ):
        small_router(capacity="order_agnostic", capacity_factor=0.5)(X[:2])


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(0, 99), st.booleans())
def test_permuted_tokens_are_routed_as_before(name, seed, training):
    router = small_router(name, seed).train(training)
    order = torch.randperm(40, generator=generator(seed))
    info, permuted = router(X), router(X[order])
    torch.testing.assert_close(permuted.combine_weights, info.combine_weights[order])
    torch.testing.assert_close(permuted.metrics["aux_total"], info.metrics["aux_total"])


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(0, 99), st.booleans())
def test_permuted_experts_only_change_their_names(name, seed, training):
    router, renamed = (small_router(name, seed).train(training) for _ in range(2))
    order = torch.randperm(8, generator=generator(seed))
    renamed.weight.data = router.weight.data[order]
    if name == "bias":
        router.bias += drawn(8, seed=seed) * 0.1
        renamed.bias.copy_(router.bias[order])
    info, other = router(X), renamed(X)
    torch.testing.assert_close(other.combine_weights, info.combine_weights[:, order])
    torch.testing.assert_close(other.metrics["aux_total"], info.metrics["aux_total"])


@pytest.mark.parametrize("name", BY_TOKENS)
@given(st.integers(0, 40))
def test_in_evaluation_a_prefix_is_routed_as_it_is_within_the_whole(name, length):
    router = small_router(name, capacity="order_agnostic").eval()
    whole, part = router(X), router(X[:length])
    assert torch.equal(part.experts, whole.experts[:length])
    assert torch.equal(part.kept, whole.kept[:length])
    torch.testing.assert_close(part.weights, whole.weights[:length])


@given(st.integers(0, 40))
def test_so_it_is_in_training_with_a_causal_capacity(length):
    router = small_router(capacity="causal", capacity_factor=0.75)
    whole, part = router(X), router(X[:length])
    assert torch.equal(part.kept, whole.kept[:length])
    torch.testing.assert_close(part.weights, whole.weights[:length])


@pytest.mark.parametrize(
    ("name", "capacity"),
    [("topk", "order_agnostic"), ("sinkhorn", "dropless"), ("expert_choice", "dropless")],
)
def test_what_looks_at_all_tokens_changes_a_prefix(name, capacity):
    router = small_router(name, capacity=capacity, capacity_factor=0.75)
    assert not torch.equal(router(X[:20]).kept_mask, router(X).kept_mask[:20])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("capacity", ["order_agnostic", "causal"])
def test_padding_is_routed_nowhere_and_changes_nothing_even_if_it_is_nan(name, training, capacity):
    capacity = "dropless" if name == "expert_choice" else capacity
    router = small_router(name, capacity=capacity, capacity_factor=0.75).train(training)
    x = X.masked_fill(~MASK[:, None], torch.nan).requires_grad_()
    padded, without = router(x, MASK), router(X[MASK])
    assert not padded.kept[~MASK].any()
    assert all(len(set(row)) == len(row) for row in padded.experts.tolist())
    assert not padded.dropped_tokens[~MASK].any()
    torch.testing.assert_close(padded.combine_weights[MASK], without.combine_weights)
    assert torch.equal(padded.kept_mask[MASK], without.kept_mask)
    assert padded.capacity == without.capacity
    for key, value in padded.metrics.items():
        torch.testing.assert_close(value, without.metrics[key], msg=key)
    upstream = drawn(*padded.weights.shape, seed=4)
    (gradient,) = torch.autograd.grad((padded.weights * upstream).sum() + padded.metrics["aux_total"], x)
    assert not gradient[~MASK].any()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("tokens", [0, 3])
def test_without_tokens_nothing_is_routed(name, training, tokens):
    capacity = "dropless" if name == "expert_choice" else "order_agnostic"
    router = small_router(name, capacity=capacity).train(training)
    info = router(X[:tokens], torch.zeros(tokens, dtype=torch.bool))
    assert info.experts.shape == (tokens, 1 if name == "expert_choice" else 2)
    assert info.top_idx.shape == (0, 8)
    assert not info.kept.any()
    assert all(not value.any() for value in info.metrics.values())


def test_logits_are_a_product_with_the_normed_tokens():
    for options, normed in (
        ({}, F.rms_norm(X, (WIDTH,), eps=1e-6)),
        ({"use_rms_norm": False}, F.layer_norm(X, (WIDTH,), eps=1e-6)),
        ({"use_router_ln": False}, X),
    ):
        router = small_router(temperature=2.0, **options)
        expected = normed.double() @ router.weight.double().T / 2
        torch.testing.assert_close(router(X).logits.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_norm_has_a_learned_scale_and_shift():
    router = small_router(use_rms_norm=False)
    router.norm_weight.data, router.norm_bias.data = drawn(WIDTH, seed=2), drawn(WIDTH, seed=3)
    expected = F.layer_norm(X, (WIDTH,), router.norm_weight, router.norm_bias, 1e-6) @ router.weight.T
    torch.testing.assert_close(router(X).logits, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_tokens_are_routed_in_float32_under_autocast_too(dtype):
    router = small_router()
    low = X.to(dtype)
    expected = router(low.float())
    same(router(low), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        info = router(low)
    same(info, expected)
    assert info.logits.dtype == info.weights.dtype == info.gates.dtype == torch.float32


def test_float64_tokens_are_routed_in_float64():
    router = small_router(k=1).double()
    x = drawn(6, WIDTH, dtype=torch.float64).requires_grad_()
    assert router(x).weights.dtype == torch.float64
    inputs = (x, router.weight, router.norm_weight)

    def weighed(x, weight, norm_weight):
        parameters = {"weight": weight, "norm_weight": norm_weight}
        info = torch.func.functional_call(router, parameters, (x,))
        return info.weights, info.metrics["aux_total"]

    assert torch.autograd.gradcheck(weighed, inputs)


@pytest.mark.parametrize("noise_type", ["gaussian", "gumbel"])
def test_noise_is_the_generators_in_training_and_absent_in_evaluation(noise_type):
    router = small_router(noise_type=noise_type, noise_std=0.5, temperature=2.0)
    clean = router.eval()(X).logits
    router.train()
    noisy = router(X, generator=generator(7)).logits
    assert torch.equal(noisy, router(X, generator=generator(7)).logits)
    noise = (noisy - clean) * 2 / 0.5
    std = 1.0 if noise_type == "gaussian" else math.pi / math.sqrt(6)
    assert noise.std().item() == pytest.approx(std, rel=0.15)
    with pytest.raises(ValueError, match="generator is missing, and noise_type needs one in training"):
        router(X)


@pytest.mark.parametrize("name", BY_TOKENS)
def test_router_dropout_leaves_some_tokens_their_second_best_alone(name):
    router = small_router(name, router_dropout_prob=0.3)
    with pytest.raises(ValueError, match="generator is missing, and router_dropout_prob needs one"):
        router(X)
    info = router(X, generator=generator(8))
    whole = small_router(name)(X)
    assert torch.equal(info.experts, whole.experts)
    alone = ~info.kept[:, 0]
    assert 0 < alone.sum() < 40
    assert info.kept[:, 1].all()
    torch.testing.assert_close(info.weights[alone, 1], torch.ones(int(alone.sum())))
    torch.testing.assert_close(info.weights[~alone], whole.weights[~alone])
    assert router.eval()(X).kept.all()


@pytest.mark.parametrize("name", NAMES)
def test_forced_balance_is_even_and_drops_nothing_but_weighs_by_the_scores(name):
    capacity = "dropless" if name == "expert_choice" else "order_agnostic"
    router = small_router(name, force_balanced=True, capacity=capacity, capacity_factor=0.5, k=3)
    info = router(X, MASK)
    assert info.loads.tolist() == [12] * 8
    assert info.kept[MASK].all()
    scores = info.gates.gather(1, info.experts)[MASK]
    expected = scores / scores.sum(1, keepdim=True) if router.normalised else scores
    torch.testing.assert_close(info.weights[MASK], expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_tokens_that_are_not_finite_are_refused(name, bad):
    x = X.clone()
    x[7, 3] = bad
    with pytest.raises(
        ValueError, match=r"logits of a router must be finite, but those of token 7 are \[nan"
    ):
        small_router(name)(x)


@pytest.mark.parametrize("name", NAMES)
def test_the_sharpest_and_the_noisiest_router_still_gives_numbers(name):
    router = small_router(name, temperature=1e-6, sinkhorn_tau=1e-6, noise_type="gumbel", noise_std=1e6)
    info = router(X, generator=generator())
    assert info.weights.isfinite().all()
    assert all(metric.isfinite().all() for metric in info.metrics.values())


def test_given_logits_that_are_not_finite_show_in_the_weights_of_their_token():
    logits = drawn(5, 8)
    logits[2, 1] = math.nan
    weights = small_router().route(logits).weights
    assert weights.isnan().any(dim=1).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize(
    "x", [drawn(2, 3, WIDTH), drawn(3, WIDTH + 1), torch.ones(3, WIDTH, dtype=torch.int64), X.numpy()]
)
def test_what_is_no_list_of_tokens_is_refused(x):
    message = (
        r"x must be (floating-point tokens \[N, 12\], but is torch|a dense torch.Tensor, but is a ndarray)"
    )
    with pytest.raises(ValueError, match=message):
        as_users_call_it(small_router(), x)


@pytest.mark.parametrize("mask", [torch.ones(39, dtype=torch.bool), torch.ones(40)])
def test_what_is_no_mask_of_the_tokens_is_refused(mask):
    with pytest.raises(
        ValueError, match=r"mask must be torch.bool \[40\] on cpu, True where a token is real, but is"
    ):
        as_users_call_it(small_router(), X, mask)


def test_a_new_router_prefers_by_the_tokens_and_comes_from_its_generator():
    router, again, other = small_router(seed=1), small_router(seed=1), small_router(seed=2)
    assert torch.equal(router.weight, again.weight)
    assert not torch.equal(router.weight, other.weight)
    assert router(X).loads.count_nonzero() == 8
    large = small_router(n_experts=2000, init_scale=0.1)
    assert large(X).logits.var().item() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_equal_inputs_give_equal_bits(name):
    same(small_router(name)(X), small_router(name)(X))


@pytest.mark.parametrize("rms", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tokens_whose_squares_overflow_in_the_norm_are_refused(dtype, rms):
    router, x = small_router(use_rms_norm=rms), X.to(dtype)
    large = x * 1e18  # together they overflow, but no token by itself
    torch.testing.assert_close(router(large).logits, router(x).logits, rtol=1e-2, atol=1e-2)
    large[7] *= 100
    with pytest.raises(
        ValueError, match=r"squares of x must be finite in torch.float32 .* token 7 reaches \de\+20"
    ):
        router(large)
    assert small_router(use_router_ln=False, temperature=1e6)(large).logits.isfinite().all()
    mask = torch.arange(40) != 7
    assert router(large, mask).weights.isfinite().all()


@pytest.mark.parametrize("noise_type", ["none", "gumbel"])
def test_the_z_loss_is_of_the_logits_as_they_enter_the_scores(noise_type):
    """ST-MoE's is of what the softmax reads, so that noise and temperature count."""
    info = small_router(noise_type=noise_type, temperature=2.0)(X, generator=generator(3))
    noise = 0.3 * gumbel(torch.Size((40, 8)), generator(3)) if noise_type == "gumbel" else 0.0
    entering = (small_router().route_logits(X) + noise) / 2
    torch.testing.assert_close(info.gates, entering.softmax(1))
    torch.testing.assert_close(info.aux_z, entering.exp().sum(1).log().square().mean())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.1, 2.0])
def test_init_scale_is_the_variance_of_the_weights_times_the_width(name, scale):
    weight = small_router(name, n_experts=2000, init_scale=scale).weight
    assert (weight.var() * WIDTH).item() == pytest.approx(scale, rel=0.05)
