"""Dropout of towers: each draws from a stream of its own, which is the same however the towers are computed.

A forward pass draws one key for each tower. The mask of a tower's n-th dropout is drawn from a generator that key and n
seed, so that it does not matter whether towers are computed one by one or together.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from organisms.layers.dropout import dropout_factors

ODD = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: consecutive multiples are far apart


# What drops in a way of its own: it draws from torch's generator, which is seeded for each call.
SEEDED = frozenset(
    {
        F.alpha_dropout,
        F.dropout1d,
        F.dropout2d,
        F.dropout3d,
        F.feature_alpha_dropout,
        F.multi_head_attention_forward,
        F.scaled_dot_product_attention,
    }
)


class _Factors(torch.autograd.Function):
    """The factors of one dropout, for one tower or under vmap for many."""

    @staticmethod
    def forward(x: Tensor, key: Tensor, count: int, probability: float) -> Tensor:
        """Return factors of the shape of x: 0 or 1 / (1 - probability)."""
        if probability == 1:
            return torch.zeros_like(x)
        source = torch.Generator(x.device).manual_seed(_seed(key, count))
        return dropout_factors(x, tuple(x.shape), probability, source)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Mark the factors as constants."""
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        """Return the factors [N, ...] of N towers, each from its own key."""
        x, key, count, probability = inputs
        x = x if in_dims[0] is None else x.movedim(in_dims[0], 0)
        if in_dims[1] is None:
            return _Factors.apply(x, key, count, probability), 0
        rows = [x] * info.batch_size if in_dims[0] is None else x.unbind(0)
        pairs = zip(rows, key.unbind(0), strict=True)
        return torch.stack([_Factors.apply(row, one, count, probability) for row, one in pairs]), 0


class Streams(TorchFunctionMode):
    """Lets dropouts draw from the stream of a tower, while it is entered; for many at once ``F.dropout`` alone.

    Parameters
    ----------
    keys
        int64: [N] of N towers, or a scalar, that of one.
    """

    def __init__(self, keys: Tensor) -> None:
        super().__init__()
        self.keys, self._key, self._count = keys, keys, 0
        self._others = 0  # counted by themselves: many at once they are not seeded, and may draw nothing

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is F.dropout:
            return self._dropped(*args, **(kwargs or {}))
        together = self._key.ndim or torch._C._functorch.is_batchedtensor(self._key)
        if func in SEEDED and not together:
            return self._seeded(func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _dropped(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or not p:
            return x
        return x.copy_(self.dropped(x, p, self._key)) if inplace else self.dropped(x, p, self._key)

    def _seeded(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._others += 1
        device = next(each.device for each in (*args, *kwargs.values()) if isinstance(each, Tensor))
        gpus = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            source = torch.cuda.default_generators[device.index] if gpus else torch.default_generator
            source.manual_seed(_seed(self._key, -self._others))
            return func(*args, **kwargs)

    def dropped(self, x: Tensor, probability: float, key: Tensor) -> Tensor:
        """Return x with what the next dropout leaves of it.

        Parameters
        ----------
        x
            Any tensor.
        probability
            Share that is dropped.
        key
            That of the tower.
        """
        self._count += 1
        return x * _Factors.apply(x.detach(), key, self._count, probability)

    @contextmanager
    def of(self, key: Tensor) -> Iterator[None]:
        """Enter the streams for the tower with this key."""
        self._key = key
        with self:
            yield


def _seed(key: Tensor, count: int) -> int:
    return (int(key) + count * ODD) % 2**63


def keys(number: int, generator: torch.Generator | None) -> Tensor:
    """Draw the keys of N towers, int64 [N], from a generator of the CPU; None: torch's own."""
    return torch.randint(2**62, (number,), generator=generator)


def drops(module: nn.Module) -> bool:
    """Whether something in a module is in training mode and has a dropout, by the names that torch gives them."""
    for each in module.modules():
        rate = each.p if isinstance(each, nn.modules.dropout._DropoutNd) else getattr(each, "dropout", 0)
        if each.training and isinstance(rate, int | float) and rate > 0:
            return True
    return False
