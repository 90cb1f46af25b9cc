"""Keys and values of the tokens that sequences have read, and attention of their next tokens to them.

Shape suffixes: N new tokens of all sequences, n sequences of a group, S new tokens of each of them, H query heads, G
heads of keys and values, M = S H / G queries of one of those, T tokens that are looked at, R width of a head.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from organisms.layers.checks import described
from organisms.layers.steady import filled

SUMMED = 256  # places whose values are summed by one product
CPU = torch.device("cpu")
BLOCK = 64  # tokens: capacities and lengths are rounded up to it


@dataclass(frozen=True, eq=False)
class Reading:
    """The next tokens of several sequences, which are read at once; tokens of a sequence follow one another.

    Parameters
    ----------
    slots
        The place of each sequence in the caches, no place twice.
    starts
        Tokens of each that were read before.
    counts
        Tokens of each that are read now, at least 1.
    device
        Where the tensors are.
    turns
        Of rotary positions by their settings, kept from layer to layer.

    Raises
    ------
    ValueError
        If there is no sequence, or one of the numbers is not so.
    """

    slots: tuple[int, ...]
    starts: tuple[int, ...]
    counts: tuple[int, ...]
    device: torch.device = CPU
    turns: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the numbers."""
        sizes = {len(self.slots), len(self.starts), len(self.counts)}
        if sizes == {0} or len(sizes) != 1:
            raise ValueError(
                "slots, starts and counts must have an entry for each of at least one sequence, but have "
                f"{len(self.slots)}, {len(self.starts)} and {len(self.counts)}"
            )
        if len(set(self.slots)) < len(self.slots) or min(self.slots) < 0:
            raise ValueError(f"slots must be different places from 0 on, but are {list(self.slots)}")
        if min(self.starts) < 0 or min(self.counts) < 1:
            raise ValueError(
                f"starts must be at least 0 and counts at least 1, but are {list(self.starts)} and {list(self.counts)}"
            )

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence after it has read."""
        return max(start + count for start, count in zip(self.starts, self.counts, strict=True))

    @cached_property
    def slot_N(self) -> Tensor:
        """The place of the sequence of each token, int64 [N]."""
        return self._each(self.slots)

    @cached_property
    def position_N(self) -> Tensor:
        """The position of each token in its sequence, int64 [N]."""
        ranges = (range(start, start + count) for start, count in zip(self.starts, self.counts, strict=True))
        return torch.tensor([position for each in ranges for position in each], device=self.device)

    @cached_property
    def last(self) -> Tensor:
        """The last token of each sequence as an index into the N tokens, int64 [sequences]."""
        return torch.tensor(self.counts, device=self.device).cumsum(0) - 1

    @cached_property
    def groups(self) -> "tuple[Group, ...]":
        """The sequences by what they can be computed together."""
        firsts = [0]
        for count in self.counts:
            firsts.append(firsts[-1] + count)
        entries = [
            Entry(slot, start, count, first)
            for slot, start, count, first in zip(
                self.slots, self.starts, self.counts, firsts[:-1], strict=True
            )
        ]
        return tuple(
            Group.of(each, self.device)
            for count in dict.fromkeys(self.counts)
            for each in _alike([entry for entry in entries if entry.count == count])
        )

    def _each(self, values: Sequence[int]) -> Tensor:
        counts = torch.tensor(self.counts, device=self.device)
        return torch.tensor(values, device=self.device).repeat_interleave(
            counts, output_size=sum(self.counts)
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One sequence of a reading: its place, the tokens before, the new ones, and the first of them among all N."""

    slot: int
    start: int
    count: int
    first: int

    @property
    def length(self) -> int:
        """Tokens that are looked at, rounded up."""
        return rounded(self.start + self.count)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Sequences with as many new tokens each, which attend to as many places.

    Parameters
    ----------
    token
        The new tokens as indices into the N tokens, int64 [n, S].
    places
        Places that are looked at: a slice with those of all sequences and perhaps others, else int64 [n].
    place
        Of each sequence in that slice, int64 [n]; None: they are the places in their order.
    length
        Places that are looked at, T.
    hidden
        Whether a new token does not see a place, bool [n, 1, S, 1, T].
    """

    token: Tensor
    places: slice | Tensor
    place: Tensor | None
    length: int
    hidden: Tensor

    @classmethod
    def of(cls, entries: list[Entry], device: torch.device) -> "Group":
        """Return the group of sequences."""
        S, T = entries[0].count, max(entry.length for entry in entries)
        token = torch.tensor([entry.first for entry in entries], device=device)[:, None] + torch.arange(
            S, device=device
        )
        position = torch.tensor([entry.start for entry in entries], device=device)[:, None] + torch.arange(
            S, device=device
        )
        slots = [entry.slot for entry in entries]
        first, span = min(slots), max(slots) - min(slots) + 1
        hidden = torch.arange(T, device=device) > position[:, None, :, None, None]
        slot = torch.tensor(slots, device=device)
        if span > 2 * len(entries):
            return cls(token, slot, None, T, hidden)
        # Copies of the caches would cost more than products with a few that nobody asked for.
        places = slice(first, first + span)
        if slots == list(range(first, first + span)):
            return cls(token, places, None, T, hidden)
        spread = torch.ones(span, 1, S, 1, T, dtype=torch.bool, device=device)
        spread[..., 0] = False  # who is not asked sees one place, so that its softmax is finite
        return cls(token, places, slot - first, T, spread.index_copy(0, slot - first, hidden))


def _alike(entries: list[Entry]) -> list[list[Entry]]:
    """Return the sequences in one group, unless some would look at many places that they do not have."""
    longest = max(entry.length for entry in entries)
    if longest * len(entries) <= 2 * sum(entry.length for entry in entries):
        return [entries]
    sizes = {1 << (entry.length - 1).bit_length() for entry in entries}
    return [
        [entry for entry in entries if 1 << (entry.length - 1).bit_length() == size] for size in sorted(sizes)
    ]


def rounded(tokens: int) -> int:
    """Return a number of tokens, rounded up to a multiple of `BLOCK`."""
    return -(-tokens // BLOCK) * BLOCK


class KeyValues:
    """The keys and values of one layer of attention, of sequences in places; it grows as sequences do.

    Parameters
    ----------
    slots
        Sequences that can be kept.
    heads, width
        G and R.
    like
        A tensor of the dtype and device that they have.

    Raises
    ------
    ValueError
        If a number is under 1.
    """

    def __init__(self, slots: int, heads: int, width: int, like: Tensor) -> None:
        if min(slots, heads, width) < 1:
            raise ValueError(f"slots, heads and width must be at least 1, but are {slots}, {heads}, {width}")
        self.keys, self.values = (like.new_zeros(slots, heads, BLOCK, width) for _ in range(2))

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.keys.nbytes + self.values.nbytes

    @property
    def token_nbytes(self) -> int:
        """Bytes of both for one token of one sequence."""
        return 2 * self.keys.element_size() * self.keys.shape[1] * self.keys.shape[3]

    def reserve(self, tokens: int) -> None:
        """Make room for sequences of so many tokens, at least twice of what was there."""
        held = self.keys.shape[2]
        if tokens > held:
            more = rounded(max(tokens, 2 * held)) - held
            self.keys, self.values = (
                torch.nn.functional.pad(each, (0, 0, 0, more)) for each in (self.keys, self.values)
            )

    def write(self, reading: Reading, k: Float[Tensor, "N G R"], v: Float[Tensor, "N G R"]) -> None:
        """Keep keys and values of new tokens.

        Parameters
        ----------
        reading
            Whose they are.
        k, v
            Rotated keys, and values.
        """
        self.reserve(reading.longest)
        self.keys[reading.slot_N, :, reading.position_N] = k
        self.values[reading.slot_N, :, reading.position_N] = v

    def attended(self, reading: Reading, q: Float[Tensor, "N H R"]) -> Float[Tensor, "N H R"]:
        """Return softmax(q k^T / sqrt(R)) v of each new token over the tokens of its sequence up to itself.

        Each sequence is computed by products of its own, with two queries at least (one alone would be summed in
        another order), and values are summed in blocks that begin at fixed places (a library cuts long sums by their
        length): on a CPU whose products of matrices have rows that do not depend on one another, as those of Intel's
        MKL in its reproducible mode, the same bits come out for any company and any cut into readings.

        Parameters
        ----------
        reading
            Whose tokens they are; their own keys and values are written already.
        q
            Rotated queries.

        Raises
        ------
        ValueError
            If the queries are not those of the reading.
        """
        if len(q) != sum(reading.counts):
            raise ValueError(
                f"q must have the {sum(reading.counts)} tokens of the reading, but is {described(q)}"
            )
        out = torch.empty_like(q)
        for group in reading.groups:
            out.index_copy_(0, group.token.flatten(), self._group(group, q).to(q.dtype))
        return out

    def _group(self, group: Group, q: Tensor) -> Tensor:
        (_, S), (H, R), G = group.token.shape, q.shape[1:], self.keys.shape[1]
        q_nSHR = q.index_select(0, group.token.flatten()).unflatten(0, group.token.shape)
        k_nGTR, v_nGTR = (each[group.places, :, : group.length] for each in (self.keys, self.values))
        if group.place is not None:
            q_nSHR = q.new_zeros(len(k_nGTR), S, H, R).index_copy(0, group.place, q_nSHR)
        q_nGMR = q_nSHR.unflatten(2, (G, H // G)).transpose(1, 2).flatten(2, 3) * (1 / math.sqrt(R))
        M = S * H // G
        scores_nGMT = (filled(q_nGMR, BLOCK * R) @ k_nGTR.transpose(2, 3))[:, :, :M]
        seen = scores_nGMT.unflatten(2, (S, -1)).masked_fill(group.hidden, -torch.inf).softmax(-1)
        mixed_nGMR = summed(filled(seen.flatten(2, 3), BLOCK * R), v_nGTR)[:, :, :M]
        out_nSHR = mixed_nGMR.unflatten(2, (S, H // G)).transpose(1, 2).flatten(2, 3)
        if group.place is not None:
            out_nSHR = out_nSHR.index_select(0, group.place)
        return out_nSHR.flatten(0, 1)

    def taken(self, slot: int, start: int, end: int) -> Float[Tensor, "2 G T R"]:
        """Return a copy of the keys and values of a sequence's tokens from `start` up to `end`.

        Parameters
        ----------
        slot
            Its place.
        start, end
            Which tokens; T is their number.
        """
        return torch.stack([self.keys[slot, :, start:end], self.values[slot, :, start:end]])

    def put(self, slot: int, start: int, kept: Float[Tensor, "2 G T R"]) -> None:
        """Set the keys and values of a sequence to those that were `taken` of another with the same tokens before.

        Parameters
        ----------
        slot
            Its place.
        start
            Tokens before.
        kept
            Of T tokens.
        """
        end = start + kept.shape[2]
        self.reserve(end)
        self.keys[slot, :, start:end], self.values[slot, :, start:end] = kept[0], kept[1]

    def clear(self, slot: int) -> None:
        """Fill a place with zeros: a NaN of one sequence would reach the next, whose weight of it is 0."""
        self.keys[slot].zero_()
        self.values[slot].zero_()


def summed(weights_nGMT: Tensor, v_nGTR: Tensor) -> Tensor:
    """Return the weighted sums of values, [n, G, M, R]; further places of weight 0 change no bit of them."""
    parts = zip(weights_nGMT.split(SUMMED, 3), v_nGTR.split(SUMMED, 2), strict=True)
    weights, values = next(parts)
    out = weights @ values
    for weights, values in parts:
        out = out + weights @ values
    return out
