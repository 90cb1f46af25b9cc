"""The stages of towers over tokens, and projections, against other ways to say what they compute."""

import torch
from torch import nn
from torch.nn import functional as F

from organisms.towers import LinearProjection, SlotProjection
from tests.organisms.towers.configured.cases import COMPONENTS, TOKENS, drawn
from tests.organisms.towers.fusion.fusions import moved


def made(name):
    return moved(COMPONENTS[name][0]().double())


def test_attention_is_torchs_own():
    stage, x = made("attention"), drawn(*TOKENS)
    other = nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)
    maps = (stage.query, stage.key, stage.value)
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat([each.weight for each in maps]))
        other.in_proj_bias.copy_(torch.cat([each.bias for each in maps]))
        other.out_proj.weight.copy_(stage.write.weight)
        other.out_proj.bias.copy_(stage.write.bias)
    y = stage.norm(x)
    torch.testing.assert_close(stage(x), x + other(y, y, y)[0])


def test_feed_forward_stages_are_plain_and_gated():
    x = drawn(*TOKENS)
    plain, gated = made("gelu"), made("swiglu")
    y = F.layer_norm(x, (4,), plain.norm.weight, plain.norm.bias) @ plain.read.weight.T + plain.read.bias
    torch.testing.assert_close(plain(x), x + F.gelu(y) @ plain.write.weight.T + plain.write.bias)
    a, b = gated.read(gated.norm(x)).split(8, -1)
    torch.testing.assert_close(gated(x), x + gated.write(a * a.sigmoid() * b))


def test_each_slot_is_an_affine_map_of_its_own():
    slots, x = moved(SlotProjection("slots", 4, 3, 2).double()), drawn(*TOKENS)
    found = slots(x)
    assert found.shape == (2, 5, 3, 2)
    for s in range(3):
        rows = slice(2 * s, 2 * s + 2)
        torch.testing.assert_close(
            found[..., s, :], x @ slots.project.weight[rows].T + slots.project.bias[rows]
        )


def test_projections_keep_the_width_unless_told():
    x = drawn(*TOKENS)
    assert LinearProjection("one", 4).double()(x).shape == x.shape
    assert SlotProjection("one", 4, 6).double()(x[:, 0]).shape == (2, 6, 4)
