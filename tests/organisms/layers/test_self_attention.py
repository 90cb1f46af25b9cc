import math

import pytest
import torch
from torch.nn import functional as F

from organisms.layers.config import AttentionConfig
from organisms.layers.rotary import RoPE
from organisms.layers.self_attention import SelfAttention
from tests.organisms.layers.definitions import drawn, with_gradients

WIDTH, B, S = 24, 2, 6


def attention(**given):
    """Build one whose biases can be seen, in float64."""
    module = SelfAttention(
        AttentionConfig(n_heads=4, **given), WIDTH, torch.Generator().manual_seed(0)
    ).double()
    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter.data = drawn(len(parameter), seed=3)
    return module


def by_heads(module, x, mask=None):
    """Compute attention a query head at a time."""
    config, R = module.config, WIDTH // module.config.n_heads
    H, G = config.n_heads, config.n_kv_heads or config.n_heads
    read = x @ module.read.T + (0 if module.read_bias is None else module.read_bias)
    outputs = []
    for head in range(H):
        shared = head * G // H
        starts = (head * R, (H + shared) * R, (H + G + shared) * R)
        q, k, v = (read[..., start : start + R] for start in starts)
        if module.rope is not None:
            q, k = module.rope(q, k)
        scores = q @ k.mT / math.sqrt(R)
        hidden = torch.zeros(x.shape[0], S, S, dtype=torch.bool)
        if config.causal:
            hidden = hidden | torch.ones(S, S, dtype=torch.bool).triu(1)
        if mask is not None:
            hidden = hidden | ~mask[:, None, :]
        outputs.append(torch.softmax(scores.masked_fill(hidden, -torch.inf), -1) @ v)
    y = torch.cat(outputs, -1) @ module.write.T
    return y if module.write_bias is None else y + module.write_bias


@pytest.mark.parametrize("shared", [None, 4, 2, 1])
@pytest.mark.parametrize(
    "given",
    [{}, {"causal": False}, {"bias": True}, {"rope": False}, {"rotary_dim": 2}, {"rope_scaling": "yarn"}],
    ids=str,
)
def test_each_head_mixes_what_its_keys_let_it_see_and_so_do_the_gradients(given, shared):
    module = attention(n_kv_heads=shared, **given)
    x, change = drawn(B, S, WIDTH).requires_grad_(), drawn(B, S, WIDTH, seed=1)
    leaves = [x, *module.parameters()]
    found, wanted = (with_gradients(y, leaves, change) for y in (module(x), by_heads(module, x)))
    for each, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(each, other)


def test_grouped_queries_are_multi_head_attention_with_repeated_keys_and_values():
    grouped, repeated = attention(n_kv_heads=2), attention()
    R = WIDTH // 4
    q, k, v = grouped.read.data.split((4 * R, 2 * R, 2 * R))
    twice = [each.view(2, 1, R, WIDTH).expand(2, 2, R, WIDTH).reshape(4 * R, WIDTH) for each in (k, v)]
    repeated.read.data, repeated.write.data = torch.cat([q, *twice]), grouped.write.data
    x = drawn(B, S, WIDTH)
    torch.testing.assert_close(grouped(x), repeated(x))


def test_without_rotation_it_is_torchs_multi_head_attention():
    module, x = attention(rope=False, causal=False, bias=True), drawn(B, S, WIDTH)
    wanted, _ = F.multi_head_attention_forward(
        *(x.transpose(0, 1),) * 3,
        *(WIDTH, 4, module.read, module.read_bias, None, None, False, 0.0),
        *(module.write, module.write_bias),
        need_weights=False,
    )
    torch.testing.assert_close(module(x), wanted.transpose(0, 1))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("held", [7.0, math.nan])
def test_padding_is_seen_by_no_token(causal, held):
    module, x = attention(causal=causal), drawn(B, S, WIDTH)
    mask = torch.tensor([[True] * 6, [True, True, True, True, False, False]])
    wanted = by_heads(module, x, mask)
    x[1, 4:] = held
    torch.testing.assert_close(module(x, mask)[mask], wanted[mask])


def test_positions_are_rotated_as_configured():
    given = {
        "rotary_dim": 4,
        "rope_base": 500.0,
        "rope_scaling": "yarn",
        "rope_factor": 2.0,
        "rope_trained": 64,
    }
    assert repr(attention(**given).rope) == repr(RoPE(4, 500.0, "yarn", 2.0, 64))
    assert repr(attention().rope) == repr(RoPE(WIDTH // 4))
    assert attention(rope=False).rope is None


def test_what_is_no_batch_of_tokens_or_its_mask_is_refused():
    unchecked = SelfAttention.forward.__wrapped__  # shapes in signatures are checked in tests only
    with pytest.raises(ValueError, match=rf"x must be \[B, S, {WIDTH}\], .* \[{S}, {WIDTH}\] on cpu"):
        unchecked(attention(), drawn(S, WIDTH))
    with pytest.raises(ValueError, match=rf"mask must be torch.bool \[{B}, {S}\] .* but is torch.float32"):
        unchecked(attention(), drawn(B, S, WIDTH), torch.ones(B, S))


@pytest.mark.parametrize("shape", [(0, 4, WIDTH), (3, 0, WIDTH)])
def test_no_tokens_give_no_outputs(shape):
    module = attention()
    y = module(torch.zeros(shape, dtype=torch.float64))
    assert y.shape == shape
    y.sum().backward()
    assert [each.grad.any().item() for each in module.parameters()] == [False] * len(
        list(module.parameters())
    )


@pytest.mark.parametrize(
    ("width", "given", "message"),
    [
        (22, {}, r"n_heads must divide d_model, 22, evenly, which 4 does not"),
        (12, {}, r"a head of 3 coordinates, .* cannot be rotated whole"),
        (24, {"rotary_dim": 8}, r"rotary_dim must be at most the width of a head, 6, not 8"),
        (
            8,
            {"rope_scaling": "ntk"},
            r"rope_scaling ntk must have 4 coordinates to rotate, .* not 2: set another rotary_dim",
        ),
    ],
)
def test_heads_that_do_not_fit_are_refused(width, given, message):
    with pytest.raises(ValueError, match=message):
        SelfAttention(AttentionConfig(n_heads=4, **given), width, torch.Generator())
