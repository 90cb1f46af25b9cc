import inspect

import pytest
import torch
from torch.nn import functional as F

from organisms.flow.attention import CrossAttention, WindowedAttention
from tests.organisms.layers.definitions import drawn


def split(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


@pytest.mark.parametrize(("d_model", "heads"), [(12, 2), (15, 5), (4, 4)])
@pytest.mark.parametrize(("window", "causal"), [(None, True), (3, True), (3, False), (6, False), (7, True)])
def test_a_token_attends_within_its_window(d_model, heads, window, causal):
    layer, x = WindowedAttention(d_model, heads, window=window, causal=causal).double(), drawn(2, 7, d_model)
    q, k, v = (split(each, heads) for each in (x @ layer.read.T).chunk(3, -1))
    if d_model > heads:  # heads of one coordinate cannot be rotated
        q, k = layer.rope(q, k)
    ahead = torch.arange(7)[:, None] - torch.arange(7)
    seen = (ahead >= 0) | (not causal)
    seen = seen & (ahead.abs() < (window or 7))
    wanted = (
        F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(2) @ layer.write.T
    )
    torch.testing.assert_close(layer(x), wanted)


@pytest.mark.parametrize(("length", "context_length"), [(5, 5), (3, 8), (8, 3), (40, 1)])
def test_a_token_attends_to_all_of_the_other_sequence(length, context_length):
    layer, x = CrossAttention(12, 3).double(), drawn(2, length, 12)
    context = drawn(2, context_length, 12, seed=1)
    k, v = (split(each, 3) for each in (context @ layer.read.T).chunk(2, -1))
    wanted = F.scaled_dot_product_attention(split(x @ layer.query.T, 3), k, v)
    torch.testing.assert_close(layer(x, context), wanted.transpose(1, 2).flatten(2) @ layer.write.T)


def test_what_does_not_fit_is_refused():
    layer = CrossAttention(12, 3).double()
    with pytest.raises(ValueError, match="context must have a sequence for each of x, 2, but has 1"):
        inspect.unwrap(CrossAttention.forward)(layer, drawn(2, 3, 12), drawn(1, 3, 12))
    with pytest.raises(ValueError, match=r"context must be \[B, S, 12\], as d_model says"):
        inspect.unwrap(CrossAttention.forward)(layer, drawn(2, 3, 12), drawn(2, 3, 11))
    with pytest.raises(ValueError, match="window must be a whole number from 1 on, but is 0"):
        WindowedAttention(12, 3, window=0)
    with pytest.raises(ValueError, match=r"x must be \[B, S, 12\], as d_model says"):
        WindowedAttention(12, 3)(drawn(2, 3, 11))
