"""Layers of torch whose numbers come from a named stream, not from torch's generator.

Matrices are uniform within sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010), biases 0.
"""

from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils import skip_init

from organisms.layers.initialisation import drawn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def linear(in_features: int, out_features: int, source: torch.Generator) -> nn.Linear:
    """Return a linear map.

    Parameters
    ----------
    in_features, out_features
        Numbers that it reads and gives.
    source
        What its matrix is drawn from.
    """
    made = skip_init(nn.Linear, in_features, out_features)
    return _filled(made, (in_features, out_features), source)


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    source: torch.Generator,
    *,
    dilation: int = 1,
) -> nn.Conv2d:
    """Return a convolution that keeps the height and width of images, which are padded with zeros.

    Parameters
    ----------
    in_channels, out_channels
        Channels that it reads and gives.
    kernel_size
        An odd number of places.
    source
        What its kernels are drawn from.
    dilation
        Distance of two places of a kernel.
    """
    padding = dilation * (kernel_size // 2)
    made = skip_init(nn.Conv2d, in_channels, out_channels, kernel_size, padding=padding, dilation=dilation)
    places = kernel_size**2
    return _filled(made, (in_channels * places, out_channels * places), source)


@torch.no_grad()
def _filled(layer: Layer, fans: tuple[int, int], source: torch.Generator) -> Layer:
    layer.weight.copy_(drawn(tuple(layer.weight.shape), fans, "xavier_uniform", source))
    if layer.bias is not None:
        layer.bias.zero_()
    return layer
