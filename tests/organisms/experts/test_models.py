import inspect
import math

import pytest
import torch
from torch import nn

from organisms.experts.block import TransformerBlock
from organisms.experts.config import BlockConfig, ModelConfig, MoEConfig, RouterConfig
from organisms.experts.models import MoELanguageModel, MoESequenceRegressor
from organisms.layers.config import AttentionConfig, ExpertConfig
from organisms.layers.norms import RMSNorm
from tests.organisms.layers.definitions import drawn, with_gradients

WIDTH, VOCABULARY, B, S, L = 16, 7, 2, 9, 2


def as_users_call_it(module, *given):
    """Call a module as outside of tests, where the shapes of signatures are not checked."""
    return inspect.unwrap(type(module).forward)(module, *given)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def block_config(router=None, attention=None, expert=None, **given):
    moe = MoEConfig(
        d_model=WIDTH,
        router=RouterConfig(**{"n_experts": 4, "init_scale": 2.0} | (router or {})),
        expert=ExpertConfig(**{"d_hidden": 12} | (expert or {})),
    )
    return BlockConfig(moe=moe, attention=AttentionConfig(n_heads=4, **(attention or {})), **given)


def model_config(*, n_inputs=1, n_outputs=None, aux_weight=1.0, **given):
    return ModelConfig(
        n_layers=L,
        n_inputs=n_inputs,
        n_outputs=n_outputs,
        aux_weight=aux_weight,
        vocab_size=VOCABULARY,
        block=block_config(**given),
    )


@pytest.mark.parametrize("feed_forward", ["moe", "dense"])
@pytest.mark.parametrize("rms", [True, False])
def test_a_block_norms_before_each_part_and_adds_it(feed_forward, rms):
    block = TransformerBlock(block_config(feed_forward=feed_forward, use_rms_norm=rms), stream()).double()
    assert isinstance(block.attention_norm, RMSNorm if rms else nn.LayerNorm)
    x = drawn(B, S, WIDTH)
    middle = x + block.attention(block.attention_norm(x))
    part = block.feed_forward(block.feed_forward_norm(middle))
    y, metrics = block(x)
    if feed_forward == "dense":
        assert metrics == {"aux_total": 0}
        torch.testing.assert_close(y, middle + part)
    else:
        torch.testing.assert_close(y, middle + part[0])
        torch.testing.assert_close(metrics, part[1])


def test_dropout_of_a_block_falls_on_what_its_parts_add_in_training_only():
    block = TransformerBlock(block_config(feed_forward="dense", dropout=0.5), stream()).double()
    plain = TransformerBlock(block_config(feed_forward="dense"), stream()).double()
    x = drawn(B, S, WIDTH)
    draws = stream(3)
    first = 2.0 * torch.empty(B, S, WIDTH, dtype=torch.float64).bernoulli_(0.5, generator=draws)
    second = 2.0 * torch.empty(B, S, WIDTH, dtype=torch.float64).bernoulli_(0.5, generator=draws)
    middle = x + first * plain.attention(plain.attention_norm(x))
    wanted = middle + second * plain.feed_forward(plain.feed_forward_norm(middle))
    torch.testing.assert_close(block(x, generator=stream(3))[0], wanted)
    with pytest.raises(ValueError, match="generator is missing, and dropout needs one in training"):
        block(x)
    torch.testing.assert_close(block.eval()(x)[0], plain(x)[0])


@pytest.mark.parametrize(("inputs", "outputs"), [(1, None), (3, None), (3, 2)])
def test_a_regressor_maps_values_in_and_out_around_its_blocks(inputs, outputs):
    model = MoESequenceRegressor(model_config(n_inputs=inputs, n_outputs=outputs), stream()).double()
    model.embed_bias.data, model.head_bias.data = drawn(WIDTH), drawn(outputs or inputs)
    values = drawn(B, S, inputs)
    x = values @ model.embed.T + model.embed_bias
    for block in model.blocks.blocks:
        x, _ = block(x)
    wanted = model.blocks.norm(x) @ model.head.T + model.head_bias
    found, _ = model(values)
    assert found.shape == (B, S, outputs or inputs)
    torch.testing.assert_close(found, wanted)


def test_a_language_model_embeds_symbols_and_gives_logits():
    model = MoELanguageModel(model_config(), stream()).double()
    symbols = torch.randint(0, VOCABULARY, (B, S), generator=stream())
    x = nn.functional.one_hot(symbols, VOCABULARY).double() @ model.embed
    for block in model.blocks.blocks:
        x, _ = block(x)
    torch.testing.assert_close(model(symbols)[0], model.blocks.norm(x) @ model.head.T)


def test_metrics_are_stacked_over_layers_and_the_loss_is_their_weighted_sum():
    model = MoESequenceRegressor(model_config(aux_weight=0.5), stream()).double()
    values = drawn(B, S, 1)
    _, metrics = model(values)
    x, layers = values @ model.embed.T + model.embed_bias, []
    for block in model.blocks.blocks:
        x, own = block(x)
        layers.append(own)
    assert metrics["expert_utilization"].shape == (L, 4)
    for layer, own in enumerate(layers):
        torch.testing.assert_close(metrics["aux_z"][layer], own["aux_z"])
    torch.testing.assert_close(metrics["aux_total"], 0.5 * (layers[0]["aux_total"] + layers[1]["aux_total"]))
    (to_first,) = torch.autograd.grad(metrics["aux_total"], model.blocks.blocks[0].feed_forward.router.weight)
    assert bool(to_first.any())


def test_a_dense_model_is_trained_by_the_same_loop():
    _, metrics = MoESequenceRegressor(model_config(feed_forward="dense"), stream())(torch.zeros(B, S, 1))
    assert metrics == {"aux_total": 0}


def inputs_of(model):
    symbols = torch.randint(0, VOCABULARY, (B, S), generator=stream())
    return symbols if isinstance(model, MoELanguageModel) else drawn(B, S, 1)


@pytest.mark.parametrize("kind", [MoESequenceRegressor, MoELanguageModel])
@pytest.mark.parametrize("router_type", ["topk", "sinkhorn", "bias"])
@pytest.mark.parametrize("mode", ["sorted", "indices", "dense"])
def test_a_prefix_gives_what_the_whole_gave_there(kind, router_type, mode):
    router = {"router_type": router_type, "dispatch_mode": mode, "n_shared": 1}
    model = kind(model_config(router=router, attention={"n_kv_heads": 2}), stream()).double().eval()
    inputs = inputs_of(model)
    whole, _ = model(inputs)
    for length in range(1, S):
        torch.testing.assert_close(model(inputs[:, :length])[0], whole[:, :length])


@pytest.mark.parametrize(
    "given",
    [{"attention": {"causal": False}}, {"router": {"router_type": "expert_choice"}}],
    ids=["attention to what follows", "experts that choose"],
)
def test_what_looks_ahead_gives_a_prefix_something_else(given):
    model = MoESequenceRegressor(model_config(**given), stream()).double().eval()
    values = drawn(B, S, 1)
    assert not torch.allclose(model(values[:, :5])[0], model(values)[0][:, :5])


@pytest.mark.parametrize(
    ("kind", "causal"),
    [(MoESequenceRegressor, True), (MoESequenceRegressor, False), (MoELanguageModel, True)],
)
def test_padding_at_the_end_changes_no_token_before_it(kind, causal):
    model = kind(model_config(attention={"causal": causal}), stream()).double()
    inputs, mask = inputs_of(model), torch.ones(B, S, dtype=torch.bool)
    mask[:, 6:] = False
    padded = inputs.masked_fill(
        ~mask.view(B, S, *[1] * (inputs.ndim - 2)), math.nan if inputs.is_floating_point() else 0
    )
    found, metrics = model(padded, mask)
    wanted, alone = model(inputs[:, :6])
    torch.testing.assert_close(found[:, :6], wanted)
    torch.testing.assert_close(metrics, alone)


@pytest.mark.parametrize("kind", [MoESequenceRegressor, MoELanguageModel])
def test_fifty_steps_of_forward_and_backward_give_the_same_bits(kind):
    model = kind(model_config(), stream())
    inputs = inputs_of(model)
    inputs = inputs.float() if inputs.is_floating_point() else inputs

    def results():
        y, metrics = model(inputs)
        change = torch.ones_like(y)
        return with_gradients(y + metrics["aux_total"], list(model.parameters()), change)

    first = results()
    for _ in range(49):
        assert all(torch.equal(a, b) for a, b in zip(first, results(), strict=True))


@pytest.mark.parametrize("kind", [MoESequenceRegressor, MoELanguageModel])
def test_a_generator_makes_the_parameters(kind):
    first, again, other = (list(kind(model_config(), stream(seed)).parameters()) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("feed_forward", ["moe", "dense"])
@pytest.mark.parametrize("shape", [(0, S), (B, 0)])
def test_no_tokens_give_no_predictions_and_losses_of_nothing(shape, feed_forward):
    for kind, inputs, width in (
        (MoESequenceRegressor, torch.zeros(*shape, 1), 1),
        (MoELanguageModel, torch.zeros(shape, dtype=torch.int64), VOCABULARY),
    ):
        y, metrics = kind(model_config(feed_forward=feed_forward), stream())(inputs)
        assert y.shape == (*shape, width)
        assert all(not metric.any() for metric in metrics.values())


@pytest.mark.parametrize("mask", [None, torch.zeros(B, S, dtype=torch.bool)])
@pytest.mark.parametrize("given", [{}, {"feed_forward": "dense", "use_rms_norm": False}])
def test_no_tokens_give_every_parameter_a_gradient_of_zeros(given, mask):
    """Ranks of a distributed run add their gradients up, and each has to have all of them."""
    shape = (0, S) if mask is None else mask.shape
    for kind, inputs in (
        (MoESequenceRegressor, torch.zeros(*shape, 1)),
        (MoELanguageModel, torch.zeros(shape, dtype=torch.int64)),
    ):
        model = kind(model_config(attention={"bias": True}, **given), stream())
        y, metrics = model(inputs, mask)
        (0 * y.sum() + metrics["aux_total"]).backward()
        without = [name for name, each in model.named_parameters() if each.grad is None or each.grad.any()]
        assert without == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            torch.zeros(2, 3),
            r"values must be \[B, S, 1\], as n_inputs says, .* but is torch.float32 \[2, 3\]",
        ),
        (torch.zeros(2, 3, 2), r"values must be \[B, S, 1\], .* but is torch.float32 \[2, 3, 2\]"),
        (torch.zeros(2, 3, 1).long(), r"and torch.float32 on cpu as the parameters, but is torch.int64"),
        (torch.zeros(2, 3, 1).numpy(), r"values must be a dense torch.Tensor, but is a ndarray"),
        (torch.full((2, 3, 1), math.nan), "values must be finite at every token that is no padding"),
        (torch.full((2, 3, 1), math.inf), "values must be finite at every token that is no padding"),
    ],
)
def test_values_that_cannot_be_read_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        as_users_call_it(MoESequenceRegressor(model_config(), stream()), values)


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (torch.zeros(2, 3), r"symbols must be torch.int64 \[B, S\] on cpu, but are torch.float32 \[2, 3\]"),
        (torch.zeros(3).long(), r"symbols must be torch.int64 \[B, S\] on cpu, but are torch.int64 \[3\]"),
        ([[0, 1]], "symbols must be a dense torch.Tensor, but is a list"),
        (torch.tensor([[0, 1, -1]]), rf"symbols must be in \[0, {VOCABULARY}\), .* reach from -1 to 1"),
        (torch.tensor([[0, 1, VOCABULARY]]), rf"symbols must be in .* reach from 0 to {VOCABULARY}"),
    ],
)
def test_symbols_that_cannot_be_read_are_refused(symbols, message):
    with pytest.raises(ValueError, match=message):
        as_users_call_it(MoELanguageModel(model_config(), stream()), symbols)


@pytest.mark.parametrize("kind", [MoESequenceRegressor, MoELanguageModel])
@pytest.mark.parametrize("feed_forward", ["moe", "dense"])
def test_what_does_not_say_which_tokens_are_real_is_refused(kind, feed_forward):
    model = kind(model_config(feed_forward=feed_forward), stream())
    inputs = inputs_of(model)
    inputs = inputs.float() if inputs.is_floating_point() else inputs
    for mask in (torch.ones(B, S), torch.ones(B, S).long(), torch.ones(S, B) > 0, torch.ones(B, S, 1) > 0):
        with pytest.raises(
            ValueError, match=rf"mask must be torch.bool \[{B}, {S}\] on cpu, True .* but is torch"
        ):
            as_users_call_it(model, inputs, mask)


def test_a_block_refuses_what_is_no_residual_stream():
    block = TransformerBlock(block_config(feed_forward="dense"), stream())
    for x in (drawn(B, S, WIDTH), drawn(B, S, WIDTH + 1).float(), drawn(S, WIDTH).float()):
        with pytest.raises(
            ValueError, match=rf"x must be \[B, S, {WIDTH}\], as d_model says, and torch.float32"
        ):
            as_users_call_it(block, x)


@pytest.mark.parametrize("kind", [MoESequenceRegressor, MoELanguageModel])
def test_a_model_is_made_from_its_configuration_and_a_generator(kind):
    with pytest.raises(ValueError, match="config must be a ModelConfig, but is a BlockConfig"):
        kind(block_config(), stream())
    with pytest.raises(ValueError, match=r"generator must be a torch\.Generator of the CPU, .* but is None"):
        kind(model_config(), None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"attention": {"causal": False}},
            "causal of a language model's attention is false, .*; set it to true",
        ),
        (
            {"router": {"router_type": "expert_choice"}},
            "router_type of a language model is expert_choice, but",
        ),
        (
            {"router": {"router_type": "organisms.experts.routing.expert_choice:ExpertChoiceRouter"}},
            "router_type of a language model is organisms.*:ExpertChoiceRouter, but",
        ),
    ],
)
def test_a_language_model_that_sees_what_comes_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        MoELanguageModel(model_config(**given), stream())


def test_in_a_dense_language_model_nobody_routes():
    MoELanguageModel(model_config(router={"router_type": "expert_choice"}, feed_forward="dense"), stream())


def test_a_language_model_without_a_vocabulary_is_refused():
    with pytest.raises(ValueError, match="vocab_size of a language model is missing"):
        MoELanguageModel(ModelConfig(n_layers=1, block=block_config()), stream())


def test_a_model_runs_under_autocast():
    model = MoESequenceRegressor(model_config(), stream())
    values = drawn(B, S, 1).float()
    exact, _ = model(values)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, metrics = model(values)
    torch.testing.assert_close(mixed.float(), exact, rtol=0.1, atol=0.1)
    assert metrics["aux_total"].dtype == torch.float32


@pytest.mark.parametrize("feed_forward", ["moe", "dense"])
@pytest.mark.parametrize("rms", [True, False])
def test_padding_of_a_block_may_hold_anything(feed_forward, rms):
    block = TransformerBlock(block_config(feed_forward=feed_forward, use_rms_norm=rms), stream()).double()
    x, mask = drawn(B, S, WIDTH), torch.arange(S) < 6
    mask = mask.expand(B, S)
    wanted = block(x[:, :6])[0]
    holes = x.masked_fill(~mask[..., None], math.nan).requires_grad_()
    y, _ = block(holes, mask)
    torch.testing.assert_close(y[:, :6], wanted)
    gradients = torch.autograd.grad(y[:, :6].square().sum(), [holes, *block.parameters()], allow_unused=True)
    assert all(each is None or bool(each.isfinite().all()) for each in gradients)


@pytest.mark.parametrize("rms", [True, False])
@pytest.mark.parametrize("feed_forward", ["moe", "dense"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_autocast_takes_tokens_of_any_floating_dtype(dtype, feed_forward, rms):
    given = block_config(feed_forward=feed_forward, use_rms_norm=rms)
    block = TransformerBlock(given, stream())
    model = MoESequenceRegressor(ModelConfig(n_layers=1, block=given), stream())
    for module, x in ((block, drawn(B, S, WIDTH)), (model, drawn(B, S, 1))):
        exact = module(x.float())[0].detach()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = module(x.to(dtype))[0].detach()
        assert float((found - exact).norm()) < 0.05 * float(exact.norm())
