"""The next tokens of sequences that are read piece by piece, and where the tokens before them are kept.

Of each sequence a layer keeps the last J tokens in a ring: position p lies at place p mod J.

Shape suffixes: n sequences, S new tokens of each, J places of the ring.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from organisms.layers.key_values import SUMMED, Reading, summed
from organisms.layers.rotary import RoPE
from organisms.layers.steady import filled

LONGEST = (
    32  # new tokens of a sequence that are read at once: the ring has as many more places than the window
)


@dataclass(frozen=True, slots=True)
class Ring:
    """How many tokens a layer looks back at, and how many it keeps.

    Parameters
    ----------
    window
        W: a token sees those at a distance under it.
    block
        T: tokens that a memory writes at once; None: there is no memory.
    """

    window: int
    block: int | None

    @property
    def places(self) -> int:
        """J: the window of the first of the longest stretch and the stretch, and a whole block."""
        return max(self.window + LONGEST - 1, self.block or 1)

    def piece(self, start: int, left: int) -> int:
        """Return how many of the next tokens can be read at once: none beyond the end of a block.

        Parameters
        ----------
        start
            Tokens before.
        left
            Tokens that are to be read, at least 1.
        """
        return min(LONGEST, self.block_end(start, left))

    def block_end(self, start: int, left: int) -> int:
        """Return how many of the next tokens lie in the block of the first of them; without a memory all.

        Parameters
        ----------
        start, left
            As `piece` takes them.
        """
        return left if self.block is None else min(left, self.block - start % self.block)


@dataclass(frozen=True, eq=False)
class Stretch:
    """The next S tokens of each of n sequences, which a ring holds beside all that they see.

    Parameters
    ----------
    slots
        The place of each sequence, rising.
    starts
        Tokens of each before.
    count
        S.
    ring
        Of all layers.
    device
        Where the tensors are.
    turns
        Of rotary positions by their settings, kept from layer to layer.
    """

    slots: tuple[int, ...]
    starts: tuple[int, ...]
    count: int
    ring: Ring
    device: torch.device
    turns: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @cached_property
    def slot(self) -> Tensor:
        """The place of each sequence, int64 [n]."""
        return torch.tensor(self.slots, device=self.device)

    @cached_property
    def position(self) -> Tensor:
        """The position of each token in its sequence, int64 [n, S]."""
        starts = torch.tensor(self.starts, device=self.device)
        return starts[:, None] + torch.arange(self.count, device=self.device)

    @cached_property
    def place(self) -> Tensor:
        """The place of each token in the ring, int64 [n, S]."""
        return self.position % self.ring.places

    @cached_property
    def distance(self) -> Tensor:
        """How far back the token of each place lies, int64 [n, S, J]; later ones are beyond the window."""
        places = torch.arange(self.ring.places, device=self.device)
        return (self.position.unsqueeze(-1) - places) % self.ring.places

    @cached_property
    def seen(self) -> Tensor:
        """Whether a token sees the one that a place holds, bool [n, S, J]."""
        return (self.distance < self.ring.window) & (self.distance <= self.position.unsqueeze(-1))

    def rotated(self, x: Tensor, rope: RoPE | None) -> Tensor:
        """Return vectors [n, heads, S, R] rotated by the angles of their positions."""
        if rope is None:
            return x
        settings = rope.extra_repr()  # layers alike need the same
        if settings not in self.turns:
            found = rope.turns(self.position.flatten(), x.dtype)
            self.turns[settings] = tuple(
                each.unflatten(0, self.position.shape).unsqueeze(1) for each in found
            )
        return rope.turned(x, self.turns[settings])

    def of(self, kept: Tensor) -> Tensor:
        """Return what is kept of these sequences, [n, ...], of that of all; a view where they lie side by side."""
        first, last = self.slots[0], self.slots[-1]
        if last - first + 1 == len(self.slots):
            return kept[first : last + 1]
        return kept.index_select(0, self.slot)

    def scored(self, q: Tensor, k: Tensor) -> Tensor:
        """Return q k^T of each sequence and head, [n, heads, S, J], from [n, heads, S, R] and [n, heads, J, R]."""
        return (filled(q, q.shape[3] * k.shape[2]) @ k.mT)[:, :, : self.count]

    def mixed(self, weights: Tensor, values: Tensor) -> Tensor:
        """Return the sums of values [n, heads, J, V] with weights [n, heads, S, J], [n, heads, S, V]."""
        last = values.shape[2] % SUMMED or SUMMED  # the shortest of the sums that it is cut into
        return summed(filled(weights, last * values.shape[3]), values)[:, :, : self.count]

    def attended(self, q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return softmax(q k^T / sqrt(R)) v of each token, [n, S, heads R].

        Parameters
        ----------
        q
            Queries, [n, heads, S, R].
        k, v
            Keys and values, [n, heads, J, R].
        hidden
            Which of them a token does not see, bool [n, S, J]; None: it sees all.
        """
        scores = self.scored(q * q.shape[-1] ** -0.5, k)
        if hidden is not None:
            scores = scores.masked_fill(hidden.unsqueeze(1), -torch.inf)
        return self.mixed(scores.softmax(-1), v).transpose(1, 2).flatten(2)


def stretches(reading: Reading, ring: Ring) -> Iterator[tuple[Stretch, Tensor]]:
    """Yield stretches in the order in which they must be read, each with its tokens as indices, int64 [n, S].

    What a token comes to does not depend on how a sequence is cut: `Stretch` computes each sequence by products of its
    own, over all places of the ring, and no stretch reaches beyond the end of a block.

    Parameters
    ----------
    reading
        All next tokens.
    ring
        Of all layers.
    """
    ends = reading.last.tolist()
    left = sorted(zip(reading.slots, reading.starts, reading.counts, ends, strict=True))
    while left:
        rows = [(slot, start, count, end, ring.piece(start, count)) for slot, start, count, end in left]
        for size in sorted({row[-1] for row in rows}):
            group = [row for row in rows if row[-1] == size]
            firsts = torch.tensor([end - count + 1 for _, _, count, end, _ in group], device=reading.device)
            yield (
                Stretch(
                    tuple(row[0] for row in group), tuple(row[1] for row in group), size, ring, reading.device
                ),
                firsts[:, None] + torch.arange(size, device=reading.device),
            )
        left = [
            (slot, start + size, count - size, end) for slot, start, count, end, size in rows if count > size
        ]
