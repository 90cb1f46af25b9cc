"""Blocks of convolutions: each adds to the map that passes through, [B, C, H, W], and keeps its shape."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organisms.towers.component import TorchComponent
from organisms.towers.configured.drawn import convolution
from organisms.towers.fusion.component import check_sizes
from organisms.towers.geometry.stream import named_generator


class ConvBlock(TorchComponent):
    """y = x + W gelu(K * norm(x)): one kernel K, and W at each place.

    `norm` is over channels and places together (a group norm of one group), so that no example depends on others.

    Parameters
    ----------
    name
        Name of the block.
    channels
        C.
    kernel_size
        Places of a kernel along each axis, an odd number.
    dropout
        Share of what is added that training leaves out.
    seed
        With the name, what uuid and parameters are drawn from; None: a uuid of its own, and the parameters of seed 0.
    """

    def __init__(
        self,
        name: str,
        channels: int,
        kernel_size: int = 3,
        *,
        dropout: float = 0.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(name, seed=seed)
        check_block(name, channels, kernel_size)
        source = named_generator(seed, f"ConvBlock:{name}")
        self.norm = nn.GroupNorm(1, channels)
        self.read = convolution(channels, channels, kernel_size, source)
        self.write = convolution(channels, channels, 1, source)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return x and what the block adds."""
        return x + self.drop(self.write(F.gelu(self.read(self.norm(x)))))


class SqueezeExcitation(nn.Module):
    """y = sigmoid(W2 relu(W1 mean_p x_p)) x: channels are weighed by what the whole map says (Hu et al. 2018).

    Parameters
    ----------
    channels
        C.
    source
        What W1 and W2 are drawn from.
    reduction
        C over the rows of W1, of which there are at least 4.
    """

    def __init__(self, channels: int, source: torch.Generator, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(4, channels // reduction)
        self.squeeze = convolution(channels, hidden, 1, source)
        self.excite = convolution(hidden, channels, 1, source)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with its channels weighed."""
        mean = x.mean((-2, -1), keepdim=True)
        return self.excite(F.relu(self.squeeze(mean))).sigmoid() * x


class MultiScaleConvBlock(TorchComponent):
    """y = x + W SE(gelu(L * h + R * h + G mean_p h_p)) with h = norm(x): three views of a map, weighed by channel.

    L sees the places around one (local), R as many that are three apart (regional), and G all of them by their mean
    (global); SE is `SqueezeExcitation`. Their sum is what a map of all three side by side comes to. The equation is
    ours: the documents say "local/regional/global with SE attention".

    Parameters
    ----------
    name, channels, kernel_size, dropout, seed
        As of `ConvBlock`.
    """

    def __init__(
        self,
        name: str,
        channels: int,
        kernel_size: int = 3,
        *,
        dropout: float = 0.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(name, seed=seed)
        check_block(name, channels, kernel_size)
        source = named_generator(seed, f"MultiScaleConvBlock:{name}")
        self.norm = nn.GroupNorm(1, channels)
        self.local = convolution(channels, channels, kernel_size, source)
        self.regional = convolution(channels, channels, kernel_size, source, dilation=3)
        self.whole = convolution(channels, channels, 1, source)
        self.weigh = SqueezeExcitation(channels, source)
        self.write = convolution(channels, channels, 1, source)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return x and what the three views add."""
        h = self.norm(x)
        seen = self.local(h) + self.regional(h) + self.whole(h.mean((-2, -1), keepdim=True))
        return x + self.drop(self.write(self.weigh(F.gelu(seen))))


class ChannelMixerBlock(TorchComponent):
    """y = x + W_o softmax(q^ k^^T / t) v with q, k, v = W_q, W_k, W_v norm(x), each [C, H W]: attention of channels.

    q^ and k^ have rows of length 1 over the places (El-Nouby et al. 2021, XCiT: cross-covariance attention), so that
    the weights [C, C] read how alike channels are, whatever the size of the map. t is learnt, 1 at first. The choice
    is ours: the documents say "cross-channel attention".

    Parameters
    ----------
    name, channels, dropout, seed
        As of `ConvBlock`.
    """

    def __init__(self, name: str, channels: int, *, dropout: float = 0.0, seed: int | None = None) -> None:
        super().__init__(name, seed=seed)
        check_sizes(name, channels=channels)
        source = named_generator(seed, f"ChannelMixerBlock:{name}")
        self.norm = nn.GroupNorm(1, channels)
        self.query, self.key, self.value, self.write = (
            convolution(channels, channels, 1, source) for _ in range(4)
        )
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return x and what the channels see of one another."""
        h = self.norm(x)
        query, key = (F.normalize(each(h).flatten(-2), dim=-1) for each in (self.query, self.key))
        shares = (query @ key.mT * torch.exp(-self.log_temperature)).softmax(-1)  # [B, C, C]
        answer = (shares @ self.value(h).flatten(-2)).view_as(h)
        return x + self.drop(self.write(answer))


def check_block(name: str, channels: int, kernel_size: int) -> None:
    """Refuse sizes that no block can have.

    Parameters
    ----------
    name
        Name of the block, for the message.
    channels, kernel_size
        As of `ConvBlock`.

    Raises
    ------
    ValueError
        If one is no whole number from 1 on, or the kernel has no middle.
    """
    check_sizes(name, channels=channels, kernel_size=kernel_size)
    if kernel_size % 2 == 0:
        raise ValueError(
            f"kernel_size of {name!r} must be odd, so that a kernel has a middle, but is {kernel_size}"
        )
