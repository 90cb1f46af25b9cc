"""The towers of the documents' examples, which many tests build on."""

from torch import Tensor, nn

from organisms.towers import BaseTower, TorchComponent


class FFNBlock(TorchComponent):
    """Two linear maps around an activation."""

    def __init__(self, name: str, dim: int, expansion: int = 2, dropout: float = 0.0):
        super().__init__(name)
        self.fc1 = nn.Linear(dim, dim * expansion)
        self.act = nn.GELU()
        self.drop = nn.Dropout(dropout)
        self.fc2 = nn.Linear(dim * expansion, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.drop(self.act(self.fc1(x))))


class SimpleTower(BaseTower):
    """Residual feed-forward blocks and a final norm."""

    def __init__(self, name: str, dim: int, depth: int = 2, dropout: float = 0.0):
        super().__init__(name, strict=False)
        for i in range(depth):
            self.append(FFNBlock(f"{name}_ffn_{i}", dim, dropout=dropout))
        self.attach("norm", nn.LayerNorm(dim))

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = x + stage(x)
        return self["norm"](x)


class TransformerBlock(TorchComponent):
    """Attention and a feed-forward network, each behind a norm."""

    def __init__(self, name: str, dim: int, num_heads: int = 8, mlp_ratio: int = 4):
        super().__init__(name)
        self.norm1 = nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.norm2 = nn.LayerNorm(dim)
        self.ffn = nn.Sequential(nn.Linear(dim, dim * mlp_ratio), nn.GELU(), nn.Linear(dim * mlp_ratio, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), self.norm1(x), self.norm1(x))[0]
        return x + self.ffn(self.norm2(x))


class ExpertTower(BaseTower):
    """Transformer blocks and a final norm."""

    def __init__(self, name: str, dim: int, depth: int = 3):
        super().__init__(name, strict=False)
        for i in range(depth):
            self.append(TransformerBlock(f"{name}_block_{i}", dim))
        self.attach("norm", nn.LayerNorm(dim))

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        return self["norm"](x)


class CachingTower(SimpleTower):
    """A tower that exposes its features."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        self.cache_set("features", 2 * y)
        return y
