import math
from itertools import product

import pytest
import torch
from torch.nn import functional as F

from organisms.experts.config import MoEConfig, RouterConfig
from organisms.experts.dispatch.dispatch import DISPATCH
from organisms.experts.feed_forward import MoEFeedForward, build_moe
from organisms.layers.config import ExpertConfig
from organisms.layers.dense_ffn import DenseFFN
from tests.organisms.experts.mixtures import by_tokens
from tests.organisms.layers.definitions import D, H, drawn, with_gradients

B, S, E = 3, 4, 4
ROUTERS = ("topk", "sinkhorn", "expert_choice", "bias")
CAPACITIES = [
    *product(("topk", "sinkhorn", "bias"), ("dropless", "order_agnostic", "causal")),
    ("expert_choice", "dropless"),
]


def config(router=None, expert=None, **given):
    router = {"n_experts": E, "init_scale": 2.0} | (router or {})
    expert = {"d_hidden": H} | (expert or {})
    return MoEConfig(d_model=D, router=RouterConfig(**router), expert=ExpertConfig(**expert), **given)


def layer(*given, **named):
    """Build one whose biases can be seen, in float64."""
    moe = build_moe(config(*given, **named)).double()
    for index, parameter in enumerate(moe.parameters()):
        if not parameter.any():
            parameter.data = drawn(*parameter.shape, seed=30 + index)
    return moe


def routed(moe, x):
    return moe.router(x.flatten(0, 1))


def test_mixtral_by_its_paper():
    """Jiang et al. 2024, section 2.1: y = sum_i softmax(top2(x W_g))_i SwiGLU_i(x)."""
    moe = layer({"use_router_ln": False}, {"bias": False})
    x, change = drawn(B, S, D).requires_grad_(), drawn(B, S, D, seed=1)
    y = torch.zeros(B, S, D, dtype=torch.float64)
    logits = x @ moe.router.weight.T
    top = torch.full_like(logits, -torch.inf)
    best = logits.topk(2, -1)
    gates = torch.softmax(top.scatter(-1, best.indices, best.values), -1)
    for expert in range(E):
        gate, value = moe.experts.W1[expert].split(H, 1)
        output = (F.silu(x @ gate) * (x @ value)) @ moe.experts.W2[expert]
        y = y + gates[..., expert, None] * output
    leaves = [x, *moe.parameters()]
    found, wanted = (with_gradients(each, leaves, change) for each in (moe(x)[0], y))
    for each, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(each, other)


def test_switch_by_its_paper():
    """Fedus et al. 2022, section 2: y = p_i(x) E_i(x) of the likeliest expert, and a loss N sum f_i P_i."""
    given = {"k": 1, "use_router_ln": False, "z_loss_weight": 0.0, "load_balance_weight": 0.01}
    moe = layer(given, {"activation": "relu"})
    x, change = drawn(B, S, D).requires_grad_(), drawn(B, S, D, seed=1)
    tokens = x.flatten(0, 1)
    p = torch.softmax(tokens @ moe.router.weight.T, -1)
    best = p.argmax(-1)
    rows, experts = [], moe.experts
    for token, probabilities, expert in zip(tokens, p, best.tolist(), strict=True):
        h = torch.relu(token @ experts.W1[expert] + experts.b1[expert])
        rows.append(probabilities[expert] * (h @ experts.W2[expert] + experts.b2[expert]))
    shares = F.one_hot(best, E).double().mean(0)
    loss = 0.01 * E * (shares * p.mean(0)).sum()
    y, metrics = moe(x)
    leaves = [x, *moe.parameters()]
    found = with_gradients(y + metrics["aux_total"], leaves, change)
    wanted = with_gradients(torch.stack(rows).view_as(x) + loss, leaves, change)
    for each, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(each, other)


@pytest.mark.parametrize("mode", DISPATCH)
@pytest.mark.parametrize(("router_type", "capacity"), CAPACITIES)
def test_every_router_in_every_mode_is_a_loop_over_tokens(router_type, capacity, mode):
    moe = layer(
        {"router_type": router_type, "dispatch_mode": mode, "capacity": capacity, "capacity_factor": 0.8}
    )
    x = drawn(B, S, D)
    info = routed(moe, x)
    assert bool(info.kept.all()) is (capacity == "dropless" and router_type != "expert_choice")
    experts = moe.experts
    wanted = by_tokens(x.flatten(0, 1), info, experts, "swiglu").view_as(x)
    torch.testing.assert_close(moe(x)[0], wanted)


@pytest.mark.parametrize("mode", DISPATCH)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_experts_that_are_all_equal_are_that_one_network(k, mode):
    moe = layer({"k": k, "norm_topk": True, "dispatch_mode": mode})
    experts = moe.experts
    with torch.no_grad():
        for stack in experts.parameters():
            stack.copy_(stack[:1].expand_as(stack))
    x = drawn(B, S, D)
    h = x @ experts.W1[0] + experts.b1[0]
    wanted = (F.silu(h[..., :H]) * h[..., H:]) @ experts.W2[0] + experts.b2[0]
    torch.testing.assert_close(moe(x)[0], wanted)


def test_shared_experts_are_added_unweighted():
    moe, plain = layer({"n_shared": 2}), layer()
    moe.experts.load_state_dict(plain.experts.state_dict())
    moe.router.load_state_dict(plain.router.state_dict())
    x, shared = drawn(B, S, D), moe.shared
    wanted = plain(x)[0] + shared.b2
    # The first half of its rows are gates; each half is divided between the two experts.
    for own in (slice(0, H), slice(H, 2 * H)):
        (gate, value), (gate_bias, value_bias) = shared.W1.split(2 * H), shared.b1.split(2 * H)
        h = F.silu(x @ gate[own].T + gate_bias[own]) * (x @ value[own].T + value_bias[own])
        wanted = wanted + h @ shared.W2[:, own].T
    torch.testing.assert_close(moe(x)[0], wanted)


@pytest.mark.parametrize("policy", ["zero", "dense"])
@pytest.mark.parametrize("shared", [0, 1])
def test_a_dropped_token_gets_nothing_or_the_dense_answer_by_its_weight(policy, shared):
    given = {"k": 1, "capacity": "order_agnostic", "capacity_factor": 0.4, "n_shared": shared}
    moe = layer(given, fallback_policy=policy, fallback_weight=0.3)
    x, change = drawn(B, S, D).requires_grad_(), drawn(B, S, D, seed=1)
    y, metrics = moe(x)
    dropped = routed(moe, x).dropped_tokens.view(B, S)
    assert 0 < int(dropped.sum()) < B * S
    assert float(metrics["fraction_dropped_tokens"]) == pytest.approx(float(dropped.double().mean()))
    wanted = moe.shared(x) if shared else torch.zeros_like(x)
    if policy == "dense":
        wanted = wanted + 0.3 * moe.fallback(x)
    torch.testing.assert_close(y[dropped], wanted[dropped])
    if policy == "dense":
        leaves = [x, *moe.fallback.parameters()]
        found, other = (
            torch.autograd.grad(each[dropped], leaves, change[dropped], retain_graph=True)
            for each in (y, wanted)
        )
        for each, expected in zip(found, other, strict=True):
            torch.testing.assert_close(each, expected)
    routed_only = by_tokens(x.flatten(0, 1), routed(moe, x), moe.experts, "swiglu").view_as(x)
    served = routed_only + (moe.shared(x) if shared else 0)
    torch.testing.assert_close(y[~dropped], served[~dropped])


@pytest.mark.parametrize("policy", ["zero", "dense"])
def test_evaluation_drops_nothing(policy):
    given = {"capacity": "order_agnostic", "capacity_factor": 0.4}
    moe, free = layer(given, fallback_policy=policy).eval(), layer().eval()
    free.load_state_dict(moe.state_dict(), strict=False)
    x = drawn(B, S, D)
    y, metrics = moe(x)
    assert float(metrics["fraction_dropped_tokens"]) == 0
    torch.testing.assert_close(y, free(x)[0])


@pytest.mark.parametrize("mode", DISPATCH)
@pytest.mark.parametrize("router_type", ROUTERS)
def test_padding_is_computed_by_nobody_whatever_it_holds(router_type, mode):
    moe = layer({"router_type": router_type, "dispatch_mode": mode, "n_shared": 1})
    mask = torch.tensor([[False, True, True, True], [True, False, True, False], [False] * 4])
    x, change = drawn(B, S, D), drawn(B, S, D, seed=1)
    short = x[mask][None]
    holes = x.masked_fill(~mask[..., None], math.nan).requires_grad_()
    y, metrics = moe(holes, mask)
    wanted, alone = moe(short)
    torch.testing.assert_close(y[mask], wanted[0])
    assert not y[~mask].any()
    assert set(metrics) == set(alone)
    for name, metric in metrics.items():
        torch.testing.assert_close(metric, alone[name])
    gradients = torch.autograd.grad(y, [holes, *moe.parameters()], change, allow_unused=True)
    assert all(each is None or bool(each.isfinite().all()) for each in gradients)
    assert not gradients[0][~mask].any()


@pytest.mark.parametrize("mode", DISPATCH)
@pytest.mark.parametrize("router_type", ROUTERS)
@pytest.mark.parametrize("shape", [(0, 4, D), (3, 0, D)])
def test_no_tokens_give_no_outputs_and_every_metric(shape, router_type, mode):
    moe = layer({"router_type": router_type, "dispatch_mode": mode, "n_shared": 1}, fallback_policy="dense")
    y, metrics = moe(torch.zeros(shape, dtype=torch.float64, requires_grad=True))
    assert y.shape == shape
    assert all(bool(metric.isfinite().all()) for metric in metrics.values())
    (y.sum() + metrics["aux_total"]).backward()
    assert not any(bool(each.grad.any()) for each in moe.parameters())


def test_the_documented_metrics_are_given_and_one_of_them_has_a_gradient():
    _, metrics = layer()(drawn(B, S, D))
    documented = {
        *("fraction_dropped_tokens", "expert_utilization", "gate_entropy", "capacity", "aux_total"),
        *("aux_load_balance", "aux_z", "aux_entropy"),
    }
    assert documented <= set(metrics)
    assert [name for name, metric in metrics.items() if metric.requires_grad] == ["aux_total"]


@pytest.fixture
def set_default():
    yield torch.set_default_dtype
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("router_type", ROUTERS)
def test_the_default_dtype_of_torch_changes_no_number(router_type, set_default):
    moe = build_moe(config({"router_type": router_type, "noise_type": "gumbel"}, {"dropout": 0.2}))
    x, answers = drawn(B, S, D, dtype=torch.float32), []
    for dtype in (torch.bfloat16, torch.float64, torch.float32):
        set_default(dtype)
        y, metrics = moe(x, None, torch.Generator().manual_seed(1))
        answers.append(metrics | {"y": y})
    for found in answers[:2]:
        torch.testing.assert_close(found, answers[2], rtol=0, atol=0)


@pytest.mark.parametrize("flag", [True, False])
def test_padded_products_are_chosen_by_one_flag(flag, monkeypatch):
    moe, called = layer({"dispatch_mode": "indices"}, {"grouped_gemm": flag}), []
    for name in ("bmm", "einsum"):
        original = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *a, n=name, f=original: called.append(n) or f(*a))
    moe(drawn(B, S, D))
    assert called == ["bmm" if flag else "einsum"] * 2


def test_equal_configurations_are_equal_layers_and_a_generator_makes_them_differ():
    x = drawn(B, S, D, dtype=torch.float32)
    assert torch.equal(build_moe(config())(x)[0], build_moe(config())(x)[0])
    other = build_moe(config(), generator=torch.Generator().manual_seed(1))
    assert not torch.equal(build_moe(config())(x)[0], other(x)[0])
    deep = build_moe(config(), n_layers=4)
    torch.testing.assert_close(deep.experts.W2, build_moe(config()).experts.W2 / 2)


def test_training_draws_from_the_generator_alone():
    moe = build_moe(config({"noise_type": "gumbel"}, {"dropout": 0.2}))
    x = drawn(B, S, D, dtype=torch.float32)
    once, again, other = (moe(x, generator=torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    with pytest.raises(ValueError, match="generator is missing"):
        moe(x)
    moe.eval()(x)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_tokens_that_are_not_finite_are_refused(value):
    x = drawn(B, S, D)
    x[1, 2, 3] = value
    with pytest.raises(ValueError, match=r"must be finite, but .* token 6 "):
        layer()(x)


@pytest.mark.parametrize(
    ("x", "mask", "message"),
    [
        (drawn(2, 3, D + 1), None, rf"x must be \[B, S, {D}\], .* but is torch.float64 \[2, 3, {D + 1}\]"),
        (drawn(2, D), None, rf"x must be \[B, S, {D}\], as d_model says, .* \[2, {D}\] on cpu"),
        (drawn(2, 3, D).float(), None, "and torch.float64 on cpu as the parameters, but is torch.float32"),
        (None, None, "x must be a dense torch.Tensor, but is a NoneType"),
        (drawn(2, 3, D), torch.ones(3, 2) > 0, r"mask must be torch.bool \[2, 3\] .* torch.bool \[3, 2\]"),
        (drawn(2, 3, D), torch.ones(2, 3), r"mask must be torch.bool .* but is torch.float32 \[2, 3\]"),
        (drawn(2, 3, D), [[True] * 3] * 2, r"mask must be a dense torch.Tensor, but is a list"),
    ],
)
def test_what_is_no_batch_of_tokens_or_its_mask_is_refused(x, mask, message):
    unchecked = MoEFeedForward.forward.__wrapped__  # shapes in signatures are checked in tests only
    with pytest.raises(ValueError, match=message):
        unchecked(layer(), x, mask)


@pytest.mark.parametrize(
    ("configured", "given", "message"),
    [
        (None, {}, "config must be a MoEConfig, but is a NoneType; MoEConfig.model_validate makes one"),
        (RouterConfig(), {}, "config must be a MoEConfig, but is a RouterConfig"),
        (config(), {"generator": 3}, r"generator must be a torch\.Generator of the CPU, .*, but is a int"),
        (config(), {"n_layers": 0}, "n_layers must be a whole number from 1 on, but is 0"),
        (config(), {"n_layers": "2"}, "n_layers must be a whole number from 1 on, but is '2'"),
    ],
)
def test_what_no_layer_can_be_made_from_is_refused(configured, given, message):
    with pytest.raises(ValueError, match=message):
        build_moe(configured, **given)


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("mode", DISPATCH)
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_autocast_computes_every_mode_in_its_dtype_and_gives_that_of_the_tokens(dtype, kind, mode, flag):
    """Against the same layer in float64, whose router sees the same tokens."""
    given = {"dispatch_mode": mode, "capacity": "causal", "capacity_factor": 0.5, "n_shared": 1}
    moe = build_moe(config(given, {"grouped_gemm": flag}, fallback_policy="dense"))
    exact = build_moe(config(given, fallback_policy="dense")).double()
    exact.load_state_dict(moe.state_dict())
    x, change = drawn(B, S, D).to(dtype), drawn(B, S, D, seed=1)
    kinds = []
    hook = moe.experts.register_forward_hook(
        lambda _, rows, answers: kinds.extend([rows[0].dtype, answers.dtype])
    )
    with torch.autocast("cpu", dtype=kind):
        leaves = [x.requires_grad_(), *moe.parameters()]
        y, metrics = moe(x)
    hook.remove()
    assert metrics["fraction_dropped_tokens"] > 0
    assert (y.dtype, kinds) == (dtype, [kind, kind])
    found = [y.detach(), metrics["aux_total"], *torch.autograd.grad(y, leaves, change.to(dtype))]
    whole = x.detach().double().requires_grad_()
    z, other = exact(whole)
    wanted = [z.detach(), other["aux_total"], *torch.autograd.grad(z, [whole, *exact.parameters()], change)]
    assert [each.dtype for each in found[2:]] == [each.dtype for each in leaves]
    torch.testing.assert_close(found.pop(1).double(), wanted.pop(1), rtol=1e-6, atol=1e-9)
    step = max(torch.finfo(kind).eps, torch.finfo(dtype).eps)
    for each, expected in zip(found, wanted, strict=True):
        assert float((each.double() - expected).norm()) <= 2 * step * float(expected.norm())


@pytest.mark.parametrize("mode", DISPATCH)
def test_autocast_leaves_a_float64_layer_as_it_is(mode):
    moe, x = layer({"dispatch_mode": mode}), drawn(B, S, D)
    expected = moe(x)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(moe(x)[0], expected)


@pytest.mark.parametrize("training", [True, False])
def test_a_token_that_no_expert_took_gets_the_dense_answer_too(training):
    moe = layer({"router_type": "expert_choice", "k": 1}, fallback_policy="dense", fallback_weight=0.3)
    x = drawn(B, S, D)
    x[:, 1:] = x[:1, :1]  # of equal tokens the first are taken
    y, _ = moe.train(training)(x)
    unserved = routed(moe, x).dropped_tokens.view(B, S)
    assert 0 < int(unserved.sum()) < B * S
    torch.testing.assert_close(y[unserved], 0.3 * moe.fallback(x)[unserved])
    info = routed(moe, x)
    wanted = by_tokens(x.flatten(0, 1), info, moe.experts, "swiglu").view_as(x)
    torch.testing.assert_close(y[~unserved], wanted[~unserved])


def test_dropout_of_the_dense_answer_is_drawn_after_that_of_the_experts():
    given = {"k": 1, "capacity": "order_agnostic", "capacity_factor": 0.4}
    moe = layer(given, {"dropout": 0.5, "activation": "relu"}, fallback_policy="dense")
    x, draws = drawn(B, S, D), torch.Generator().manual_seed(4)
    y, _ = moe(x, generator=torch.Generator().manual_seed(4))
    info = routed(moe, x)
    tokens, dropped = x.flatten(0, 1), info.dropped_tokens
    torch.empty(int(info.kept.sum()), H, dtype=torch.float64).bernoulli_(0.5, generator=draws)
    h = torch.relu(tokens[dropped] @ moe.fallback.W1.T + moe.fallback.b1)
    h = 2 * h * torch.empty_like(h).bernoulli_(0.5, generator=draws)
    wanted = h @ moe.fallback.W2.T + moe.fallback.b2
    torch.testing.assert_close(y.flatten(0, 1)[dropped], wanted)


@pytest.mark.parametrize("mode", DISPATCH)
@pytest.mark.parametrize("k_norm", [None, True])
def test_a_single_expert_is_a_dense_network(k_norm, mode):
    """Its only score is a softmax of one, 1, normalised or not."""
    moe = layer({"n_experts": 1, "k": 1, "norm_topk": k_norm, "dispatch_mode": mode})
    dense = DenseFFN(moe.config.expert, torch.Generator()).double()
    for name, parameter in dense.named_parameters():
        own = getattr(moe.experts, name)[0].detach()
        parameter.data = own.T if own.ndim == 2 else own
    x, change = drawn(B, S, D).requires_grad_(), drawn(B, S, D, seed=1)
    pairs = [(moe(x)[0], [x, *moe.experts.parameters()]), (dense(x), [x, *dense.parameters()])]
    found, wanted = (with_gradients(y, leaves, change) for y, leaves in pairs)
    torch.testing.assert_close(found[:2], wanted[:2])
    for each, other in zip(found[2:], wanted[2:], strict=True):
        torch.testing.assert_close(each[0], other.T if other.ndim == 2 else other)


def test_depth_shrinks_what_all_of_its_networks_write():
    given = config({"n_shared": 2}, fallback_policy="dense")
    one, deep = build_moe(given), build_moe(given, n_layers=8)
    for name in ("experts", "shared", "fallback"):
        torch.testing.assert_close(getattr(deep, name).W1, getattr(one, name).W1)
        torch.testing.assert_close(getattr(deep, name).W2, getattr(one, name).W2 / 8**0.5)
