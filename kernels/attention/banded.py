"""Attention of long sequences in one window, by torch's fused kernel: bands of queries with the keys near them.

The keys of a band are its own and those of the bands that its window reaches. All bands are one batch of the kernel, so
that no call costs more than what is computed in it, as in a loop over tiles it does where windows are short
(tests/benchmarks/flow.py). Memory grows with the length times the window.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from kernels.attention import flash
from kernels.attention.visibility import Visibility, bias

HEIGHT = 32  # fewest queries of a band: as many as the kernel takes at once
PARTS = 4  # bands that a window reaches at most: the more, the less of what is computed is hidden
SHORT = 2  # windows in a sequence, at least


def serves(q: Tensor, visibility: Visibility) -> bool:
    """Whether all heads have one window, in tokens, that is short beside the sequence, and nothing else is hidden."""
    window = visibility.window
    if not flash.AVAILABLE or q.device.type != "cpu" or window is None:
        return False
    if visibility.key_mask is not None or visibility.positions is not None:
        return False
    return bool((window == window[0]).all()) and SHORT * float(window[0]) <= q.shape[2]


def forward(
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    visibility: Visibility,
) -> tuple[Float[Tensor, "B H S W"], Float[Tensor, "B H S"]]:
    """Return the output and the log-sum-exp.

    Parameters
    ----------
    q, k
        Queries and keys, [B, H, S, R].
    v
        Values, [B, H, S, W].
    visibility
        Scale of the scores, and the window.
    """
    bands = _bands(q, visibility)
    queries, keys, values = flash.level(flash.scaled(q, visibility), k, v)
    output, lse = flash.attended(
        bands.cut(queries), bands.around(keys), bands.around(values), bands.mask(visibility)
    )
    whole, sums = bands.joined(output), bands.joined(lse.unsqueeze(-1)).squeeze(-1)
    return whole[..., : v.shape[3]].to(v.dtype), sums


def backward(
    grad_output: Float[Tensor, "B H S W"],
    q: Float[Tensor, "B H S R"],
    k: Float[Tensor, "B H S R"],
    v: Float[Tensor, "B H S W"],
    output: Float[Tensor, "B H S W"],
    lse: Float[Tensor, "B H S"],
    visibility: Visibility,
) -> tuple[Float[Tensor, "B H S R"], Float[Tensor, "B H S R"], Float[Tensor, "B H S W"]]:
    """Return the gradients of queries, keys and values.

    Parameters
    ----------
    grad_output
        Gradient of the output, [B, H, S, W].
    q, k
        Queries and keys, [B, H, S, R].
    v
        Values, [B, H, S, W].
    output, lse
        What `forward` returned, [B, H, S, W] and [B, H, S].
    visibility
        Scale of the scores, and the window.
    """
    bands = _bands(q, visibility)
    queries, keys, values, change, mixed = flash.level(flash.scaled(q, visibility), k, v, grad_output, output)
    dq, dk, dv = flash.gradients(
        bands.cut(change),
        bands.cut(queries),
        bands.around(keys),
        bands.around(values),
        bands.cut(mixed),
        bands.cut(lse.unsqueeze(-1)).squeeze(-1),
        bands.mask(visibility),
    )
    dq = bands.joined(dq)[..., : q.shape[3]] * visibility.scale[:, None, None]
    dk, dv = bands.folded(dk)[..., : k.shape[3]], bands.folded(dv)[..., : v.shape[3]]
    return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype)


@dataclass(frozen=True, slots=True)
class _Bands:
    """J bands of T queries each, the last one filled up; keys are those of a band and of its neighbours."""

    examples: int  # B
    length: int  # S
    height: int  # T
    before: int  # neighbours on one side
    after: int  # and on the other; 0 where later keys are hidden

    @property
    def number(self) -> int:
        return -(-self.length // self.height)

    @property
    def parts(self) -> int:
        """How many bands the keys of a band are."""
        return self.before + 1 + self.after

    def cut(self, x_BHSR: Tensor) -> Tensor:
        """Return the queries of each band, [J, B H, T, R]."""
        x = F.pad(x_BHSR.flatten(0, 1), (0, 0, 0, self.number * self.height - self.length))
        return x.unflatten(1, (-1, self.height)).transpose(0, 1)

    def around(self, x_BHSR: Tensor) -> Tensor:
        """Return the keys of each band, [J, B H, parts T, R], as views that overlap."""
        behind = (self.number + self.after) * self.height - self.length
        x = F.pad(x_BHSR.flatten(0, 1), (0, 0, self.before * self.height, behind))
        return x.unfold(1, self.parts * self.height, self.height).transpose(0, 1).mT

    def joined(self, x_JNTR: Tensor) -> Tensor:
        """Return [B, H, S, R] from bands of queries."""
        x = x_JNTR.transpose(0, 1).flatten(1, 2)[:, : self.length]
        return x.unflatten(0, (self.examples, -1))

    def folded(self, x_JNKR: Tensor) -> Tensor:
        """Return [B, H, S, R] from bands of keys, the sum of what each key has in all of them."""
        J, N, _, R = x_JNKR.shape
        total = x_JNKR.new_zeros(N, J + self.parts - 1, self.height, R)
        for part, each in enumerate(x_JNKR.transpose(0, 1).split(self.height, 2)):
            total[:, part : part + J] += each
        first = self.before * self.height
        x = total.flatten(1, 2)[:, first : first + self.length]
        return x.unflatten(0, (self.examples, -1))

    def mask(self, visibility: Visibility) -> Tensor:
        """Return what hides the keys that a query of a band does not see, [J, 1, T, parts T]."""
        assert visibility.window is not None
        device = visibility.scale.device
        queries = torch.arange(self.height, device=device)[:, None]
        keys = torch.arange(-self.before * self.height, (1 + self.after) * self.height, device=device)
        near = (queries - keys).abs() < visibility.window[0]
        if visibility.causal:
            near &= queries >= keys
        places = keys + self.height * torch.arange(self.number, device=device)[:, None]
        real = (places >= 0) & (places < self.length)
        return bias(near & real[:, None, None, :], visibility.scale.dtype)


def _bands(q: Tensor, visibility: Visibility) -> _Bands:
    assert visibility.window is not None
    reach = (
        math.ceil(float(visibility.window[0].clamp(min=1.0))) - 1
    )  # tokens to the farthest key that is seen
    height = max(HEIGHT, -(-reach // PARTS))
    before = -(-reach // height)
    return _Bands(len(q), q.shape[2], height, before, 0 if visibility.causal else before)
