"""The stages of towers over tokens: each adds to the stream that passes through.

They are written in operations that `WIDE_COMPILER` lists, so that nothing in them asks what a tensor is.
"""

import math

from torch import Tensor, nn

from organisms.layers.activations import ACTIVATIONS
from organisms.towers.component import TorchComponent
from organisms.towers.configured.config import TowerConfig
from organisms.towers.configured.drawn import linear
from organisms.towers.geometry.stream import named_generator


class FeedForwardStage(TorchComponent):
    """y = x + W2 f(W1 norm(x) + b1) + b2, for each token by itself.

    Parameters
    ----------
    name
        Name of the stage.
    config
        Width, expansion, activation f and dropout.
    seed
        With the name, what uuid and parameters are drawn from; None: a uuid of its own, and the parameters of seed 0.
    """

    def __init__(self, name: str, config: TowerConfig, *, seed: int | None = None) -> None:
        super().__init__(name, seed=seed)
        source = named_generator(seed, f"FeedForwardStage:{name}")
        hidden, self.activation = config.expansion * config.dim, ACTIVATIONS[config.activation]
        self.norm = nn.LayerNorm(config.dim)
        self.read = linear(config.dim, self.activation.width(hidden), source)
        self.write = linear(hidden, config.dim, source)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return x [..., D] and what the stage adds."""
        h = self.read(self.norm(x))
        if self.activation.gated:
            gate, value = h.chunk(2, -1)
            hidden = self.activation.function(gate) * value
        else:
            hidden = self.activation.function(h)
        return x + self.drop(self.write(hidden))


class AttentionStage(TorchComponent):
    """y = x + W_o concat_h(softmax(q_h k_h^T / sqrt(R)) v_h) with q, k, v = W_q, W_k, W_v norm(x).

    Parameters
    ----------
    name
        Name of the stage.
    config
        Width, heads h of R = D / heads numbers, and dropout.
    seed
        As of `FeedForwardStage`.
    """

    def __init__(self, name: str, config: TowerConfig, *, seed: int | None = None) -> None:
        super().__init__(name, seed=seed)
        source = named_generator(seed, f"AttentionStage:{name}")
        self.num_heads, self.scale = config.num_heads, 1 / math.sqrt(config.dim // config.num_heads)
        self.norm = nn.LayerNorm(config.dim)
        self.query, self.key, self.value, self.write = (
            linear(config.dim, config.dim, source) for _ in range(4)
        )
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return x [..., L, D] and what the tokens see of one another."""
        h = self.norm(x)
        # torch's fused attention cannot be batched over towers: on a CPU vmap would loop over them.
        query, key, value = (self._heads(each(h)) for each in (self.query, self.key, self.value))
        shares = (query @ key.mT * self.scale).softmax(-1)  # [..., H, L, L]
        answer = (shares @ value).transpose(-3, -2).flatten(-2)
        return x + self.drop(self.write(answer))

    def _heads(self, x: Tensor) -> Tensor:
        """Return [..., L, D] as [..., H, L, R]."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)
