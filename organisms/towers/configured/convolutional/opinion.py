"""One opinion of a map: what is said of all places together."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import arguments
from organisms.towers.component import TorchComponent
from organisms.towers.configured.drawn import linear
from organisms.towers.fusion.component import check_sizes
from organisms.towers.geometry.stream import named_generator

POOL_MODES = ("adaptive", "attention", "multiscale")
SCALES = (1, 2, 4)  # parts of a map along each axis


class SpatialToOpinionComponent(TorchComponent):
    """o = W pool(x) + b, [B, out_features], of a map x [B, C, H, W] of any height and width.

    adaptive     pool(x) = mean_p x_p
    attention    pool(x) = sum_p a_p x_p, a = softmax_p(q . x_p / sqrt(C)) with learnt q, 0 at first: the mean
    multiscale   the means of all parts of x that is cut into 1, 2 x 2 and 4 x 4, side by side (He et al. 2014)

    The equations are ours: the documents name the modes.

    Parameters
    ----------
    name
        Name of the component.
    channels
        C.
    out_features
        Width of the opinion.
    pool_mode
        One of these three.
    seed
        With the name, what uuid and parameters are drawn from; None: a uuid of its own, and the parameters of seed 0.
    device
        Options of `TorchComponent`.

    Raises
    ------
    ValueError
        If there is no such mode, or a size is no whole number from 1 on.
    """

    def __init__(
        self,
        name: str,
        channels: int,
        out_features: int,
        pool_mode: str = "adaptive",
        *,
        seed: int | None = None,
        **device: Any,
    ) -> None:
        super().__init__(name, seed=seed, **device)
        check_sizes(name, channels=channels, out_features=out_features)
        arguments.one_of("pool_mode", pool_mode, POOL_MODES)
        self.pool_mode, self.scale = pool_mode, 1 / math.sqrt(channels)
        self.query = nn.Parameter(torch.zeros(channels)) if pool_mode == "attention" else None
        parts = sum(scale**2 for scale in SCALES) if pool_mode == "multiscale" else 1
        source = named_generator(seed, f"SpatialToOpinionComponent:{name}")
        self.project = linear(parts * channels, out_features, source)

    def forward(self, x: Tensor) -> Tensor:
        """Return the opinion [B, out_features] on a map."""
        return self.project(self._pooled(x))

    def _pooled(self, x: Tensor) -> Tensor:
        if self.query is not None:
            return attended(x, self.query * self.scale)
        if self.pool_mode == "multiscale":
            return torch.cat([F.adaptive_avg_pool2d(x, scale).flatten(-3) for scale in SCALES], -1)
        return x.mean((-2, -1))


def attended(x: Tensor, query: Tensor) -> Tensor:
    """Return sum_p a_p x_p, [B, C], with a = softmax_p(q . x_p), of x [B, C, H, W] and q [C]."""
    places = x.flatten(-2)
    shares = torch.einsum("...cp,c->...p", places, query).softmax(-1)
    return torch.einsum("...cp,...p->...c", places, shares)
