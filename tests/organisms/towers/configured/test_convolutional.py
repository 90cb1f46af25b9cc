"""The parts of convolutional towers against their definitions."""

import pytest
import torch
from torch.nn import functional as F

from organisms.towers import FlexibleInputComponent, SpatialToOpinionComponent
from organisms.towers.configured.convolutional.blocks import SqueezeExcitation
from tests.organisms.towers.configured.cases import COMPONENTS, IMAGE, TOKENS, drawn
from tests.organisms.towers.fusion.fusions import moved


def made(name):
    return moved(COMPONENTS[name][0]().double())


def normed(x, norm):
    rows = x.flatten(1)
    rows = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, correction=0, keepdim=True) + norm.eps).sqrt()
    return rows.view_as(x) * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)


def seen(x, convolution, distance):
    """What a kernel of 3 x 3 places that are a distance apart sees, place by place."""
    weight, bias = convolution.weight, convolution.bias
    padded = F.pad(x, (distance,) * 4)
    height, width = x.shape[-2:]
    found = bias.view(1, -1, 1, 1)
    for i in range(3):
        for j in range(3):
            part = padded[..., i * distance : i * distance + height, j * distance : j * distance + width]
            found = found + torch.einsum("bchw,oc->bohw", part, weight[..., i, j])
    return found


def at_each_place(x, convolution):
    return torch.einsum("bchw,oc->bohw", x, convolution.weight[..., 0, 0]) + convolution.bias.view(
        1, -1, 1, 1
    )


def test_a_token_is_projected_as_a_place_is():
    component, image, tokens = made("image"), drawn(*IMAGE), drawn(*TOKENS)
    torch.testing.assert_close(component(image), at_each_place(image, component.project))
    torch.testing.assert_close(component(tokens)[:, :, 0].mT, F.linear(tokens, *weights(component.project)))


def weights(convolution):
    return convolution.weight[..., 0, 0], convolution.bias


@pytest.mark.parametrize(
    ("mode", "shape", "wanted"),
    [
        (
            "spatial",
            (2, 5, 4),
            r"an image \[B, 4, H, W\], as input_mode 'spatial' and in_channels say, but is \[2, 5, 4\]",
        ),
        ("sequence", IMAGE, r"a sequence \[B, L, 4\]"),
        ("auto", (2, 3, 5, 4), r"an image \[B, 4, H, W\] or a sequence \[B, L, 4\]"),
        ("auto", (2, 4, 5), "or a sequence"),
        ("auto", (5, 4), "or a sequence"),
    ],
)
def test_an_input_of_another_shape_is_refused(mode, shape, wanted):
    component = FlexibleInputComponent("input", 4, 3, mode).double()
    with pytest.raises(ValueError, match=wanted):
        component(drawn(*shape))


def test_squeeze_and_excitation_weighs_channels_by_the_whole_map():
    source, x = torch.Generator().manual_seed(0), drawn(*IMAGE)
    block = moved(SqueezeExcitation(4, source).double())
    hidden = F.linear(x.mean((2, 3)), *weights(block.squeeze)).clamp(min=0)
    factors = 1 / (1 + torch.exp(-F.linear(hidden, *weights(block.excite))))
    torch.testing.assert_close(block(x), factors[..., None, None] * x)


def test_blocks_look_around_each_place():
    x, plain, three = drawn(*IMAGE), made("conv"), made("multiscale")
    y = F.gelu(seen(normed(x, plain.norm), plain.read, 1))
    torch.testing.assert_close(plain(x), x + at_each_place(y, plain.write))
    h = normed(x, three.norm)
    mean = h.mean((2, 3), keepdim=True)
    y = seen(h, three.local, 1) + seen(h, three.regional, 3) + at_each_place(mean, three.whole)
    torch.testing.assert_close(three(x), x + at_each_place(three.weigh(F.gelu(y)), three.write))


def test_the_channel_mixer_weighs_channels_by_the_cosine_of_what_they_ask_and_are():
    x, mixer = drawn(*IMAGE), made("mixer")
    h = normed(x, mixer.norm)
    query, key, value = (at_each_place(h, each).flatten(2) for each in (mixer.query, mixer.key, mixer.value))
    cosines = F.cosine_similarity(query[:, :, None], key[:, None], dim=-1)
    shares = (cosines / mixer.log_temperature.exp()).softmax(-1)
    answer = torch.einsum("bij,bjp->bip", shares, value).view_as(x)
    torch.testing.assert_close(mixer(x), x + at_each_place(answer, mixer.write))


def test_the_channel_mixer_does_not_know_where_places_are():
    x, mixer, order = (
        drawn(*IMAGE),
        made("mixer"),
        torch.randperm(15, generator=torch.Generator().manual_seed(0)),
    )

    def permuted(y):
        return y.flatten(2)[..., order].view_as(y)

    torch.testing.assert_close(mixer(permuted(x)), permuted(mixer(x)))


def test_pools():
    x = drawn(2, 4, 8, 4)
    for mode in ("adaptive", "attention"):
        first = SpatialToOpinionComponent("opinion", 4, 3, mode).double()
        torch.testing.assert_close(first(x), first.project(x.mean((2, 3))))
    attentive = moved(first)
    places = x.flatten(2).mT
    shares = (places @ attentive.query / 2).softmax(1)
    torch.testing.assert_close(attentive(x), attentive.project((shares[..., None] * places).sum(1)))
    scales = made("pool multiscale")
    cut = [x.unflatten(3, (s, -1)).unflatten(2, (s, -1)).mean((3, 5)).flatten(1) for s in (1, 2, 4)]
    torch.testing.assert_close(scales(x), scales.project(torch.cat(cut, 1)))


@pytest.mark.parametrize("name", ["conv", "multiscale"])
def test_kernels_have_a_middle(name):
    with pytest.raises(
        ValueError, match="kernel_size of 'one' must be odd, so that a kernel has a middle, but is 2"
    ):
        type(made(name))("one", 4, 2)


def test_modes_have_names():
    with pytest.raises(
        ValueError, match="pool_mode is 'max', but must be one of adaptive, attention, multiscale"
    ):
        SpatialToOpinionComponent("opinion", 4, 3, "max")
    with pytest.raises(ValueError, match="input_mode is 'image', but must be one of spatial, sequence, auto"):
        FlexibleInputComponent("input", 4, 3, "image")
    with pytest.raises(ValueError, match="channels of 'opinion' must be a whole number from 1 on, but is 0"):
        SpatialToOpinionComponent("opinion", 0, 3)
