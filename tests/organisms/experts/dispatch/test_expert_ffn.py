import pytest
import torch

from organisms.experts.dispatch.expert_ffn import ExpertFFN
from organisms.layers.config import ExpertConfig
from organisms.layers.dense_ffn import DenseFFN
from tests.organisms.layers.definitions import GATED, D, H, drawn, with_gradients

OFFSETS = torch.tensor([4, 4, 9])


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def config(**given):
    return ExpertConfig(d_model=D, d_hidden=H, **given)


def awake(module):
    """The module in float64, with biases that are not zero."""
    module = module.double()
    for index, parameter in enumerate(module.parameters()):
        if parameter.ndim < 3 and not parameter.any():
            parameter.data = drawn(*parameter.shape, seed=20 + index)
    return module


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", *GATED])
@pytest.mark.parametrize("bias", [True, False])
def test_one_expert_is_a_dense_network(activation, bias):
    layer = awake(ExpertFFN(config(activation=activation, bias=bias), 1, stream()))
    dense = DenseFFN(config(activation=activation, bias=bias), stream()).double()
    with torch.no_grad():
        for name, parameter in dense.named_parameters():
            own = getattr(layer, name)[0]
            parameter.copy_(own.T if own.ndim == 2 else own)
    x, change = drawn(6, D).requires_grad_(), drawn(6, D, seed=1)
    found = with_gradients(layer(x, torch.tensor([6])), [x, *layer.parameters()], change)
    wanted = with_gradients(dense(x), [x, *dense.parameters()], change)
    for each, other in zip(found, wanted, strict=True):
        each = each[0] if each.ndim == other.ndim + 1 else each
        torch.testing.assert_close(each, other.T if each.shape != other.shape else other)


def test_parameters_have_the_documented_shapes_and_names():
    shapes = {name: tuple(p.shape) for name, p in ExpertFFN(config(), 3, stream()).named_parameters()}
    assert shapes == {"W1": (3, D, 2 * H), "W2": (3, H, D), "b1": (3, 2 * H), "b2": (3, D)}
    plain = ExpertFFN(config(activation="relu", bias=False), 3, stream())
    assert {name: tuple(p.shape) for name, p in plain.named_parameters()} == {
        "W1": (3, D, H),
        "W2": (3, H, D),
    }


def test_parameters_come_from_the_generator_and_shrink_with_depth():
    def build(seed=0, n_layers=1):
        return ExpertFFN(config(init="scaled_kaiming"), 3, stream(seed), n_layers=n_layers)

    first, again, other, deep = build(), build(), build(seed=1), build(n_layers=8)
    assert torch.equal(first.W1, again.W1)
    assert torch.equal(first.W2, again.W2)
    assert not torch.equal(first.W1, other.W1)
    torch.testing.assert_close(deep.W1, first.W1)
    torch.testing.assert_close(deep.W2, first.W2 / 8**0.5)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("compute", ["grouped_gemm", "bmm"])
def test_computing_activations_again_gives_the_same_bits(compute, dropout):
    kept, again = (
        ExpertFFN(config(dropout=dropout, checkpoint_experts=checkpoint), 3, stream())
        for checkpoint in (False, True)
    )
    x, change = drawn(9, D, dtype=torch.float32).requires_grad_(), drawn(9, D, seed=1, dtype=torch.float32)
    results = [
        with_gradients(
            layer(x, OFFSETS, compute=compute, generator=stream(5)), [x, *layer.parameters()], change
        )
        for layer in (kept, again)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_checkpoints_keep_no_hidden_activations():
    def saved(checkpoint):
        sizes = []
        layer = ExpertFFN(config(checkpoint_experts=checkpoint), 3, stream())
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.shape) or t, lambda t: t):
            layer(drawn(9, D, dtype=torch.float32).requires_grad_(), OFFSETS)
        return sizes

    assert (9, 2 * H) in saved(False) or (9, H) in saved(False)
    assert not {(9, 2 * H), (9, H)} & set(saved(True))


def test_dropout_drops_its_share_in_training_only_and_keeps_the_mean():
    wide = ExpertConfig(d_model=D, d_hidden=4000, activation="relu", dropout=0.25, bias=False)
    layer, offsets = ExpertFFN(wide, 1, stream()).double(), torch.tensor([8])
    # Every hidden unit is 1, and the first output sums them.
    x = torch.ones(8, D, dtype=torch.float64)
    layer.W1.data = torch.full_like(layer.W1, 1 / D)
    layer.W2.data = torch.ones_like(layer.W2)
    sums = layer(x, offsets, generator=stream(1))[:, 0]
    torch.testing.assert_close(sums, torch.full_like(sums, 4000.0), rtol=0.05, atol=0)
    kept = sums * 0.75
    torch.testing.assert_close(kept, kept.round(), rtol=0, atol=1e-8)
    assert len(set(kept.round().tolist())) > 4  # each token has its own
    assert torch.equal(sums, layer(x, offsets, generator=stream(1))[:, 0])
    torch.testing.assert_close(layer.eval()(x, offsets), torch.full_like(x, 4000.0))


def test_dropout_without_a_generator_of_its_device_is_refused():
    layer = ExpertFFN(config(dropout=0.25), 3, stream())
    with pytest.raises(ValueError, match=r"generator is missing, and dropout needs one in training: pass"):
        layer(torch.ones(9, D), OFFSETS)
    with pytest.raises(ValueError, match=r"generator must be a torch\.Generator on meta, but is one on cpu"):
        layer.to("meta")(torch.ones(9, D, device="meta"), OFFSETS, generator=stream())


@pytest.mark.parametrize("compute", ["grouped_gemm", "bmm", "einsum"])
def test_rows_without_ends_that_experts_cannot_share_are_refused(compute):
    layer = ExpertFFN(config(), 3, stream())
    with pytest.raises(
        ValueError, match="as many for each of the 3 experts, but are 8 together; pass the ends"
    ):
        layer(torch.ones(8, D), compute=compute)
