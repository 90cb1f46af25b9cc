"""What a flow layer keeps of the tokens that sequences have read: the last of them in a ring, and a memory's banks.

Shape suffixes: n sequences, S new tokens of each, J places of the ring, T tokens of a block, M slots of a memory.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from organisms.flow.stretch import Ring, Stretch
from organisms.layers.key_values import rounded

if TYPE_CHECKING:
    from organisms.flow.memory import FlowMemoryNetwork

INPUTS = "inputs"  # what comes into the parts of a layer, of which the router means and the memory writes


class LayerPast:
    """The ring of one layer for sequences in places, its banks, and, where others may begin alike, all that it read.

    Parameters
    ----------
    slots
        Sequences that can be kept.
    ring
        Window and block.
    widths
        What is kept of a token, by name: how many vectors (heads or channels) and how wide.
    memory
        Whose banks are kept; None: there is none.
    like
        A tensor of the dtype and device that all have.
    shared
        Whether what was read is kept beyond the ring, for `taken`: as many bytes for each token as the ring needs.
    """

    def __init__(
        self,
        slots: int,
        ring: Ring,
        widths: Mapping[str, tuple[int, int]],
        memory: "FlowMemoryNetwork | None",
        like: Tensor,
        *,
        shared: bool,
    ) -> None:
        self.ring, self._widths, self._memory = ring, dict(widths), memory
        self._first = {} if memory is None else memory.readable(memory.memory_bank)
        self.kept = {
            name: like.new_zeros(slots, heads, ring.places, width)
            for name, (heads, width) in self._widths.items()
        }
        self.banks = {name: each.expand(slots, *each.shape).clone() for name, each in self._first.items()}
        total = sum(heads * width for heads, width in self._widths.values())
        self._rows = like.new_zeros(slots, 0, total) if shared else None
        self._token_nbytes = total * like.element_size()

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        held = [*self.kept.values(), *self.banks.values(), *([] if self._rows is None else [self._rows])]
        return sum(each.nbytes for each in held)

    @property
    def token_nbytes(self) -> int:
        """Bytes of what `taken` has of one token."""
        return self._token_nbytes

    def begin(self, slot: int) -> None:
        """Let a sequence start: from the first banks. What the ring holds of another it does not see."""
        for name, each in self._first.items():
            self.banks[name][slot] = each

    def write(self, stretch: Stretch, name: str, vectors: Float[Tensor, "n heads S width"]) -> Tensor:
        """Keep something of new tokens, and return it of all that lie in the rings, [n, heads, J, width].

        Parameters
        ----------
        stretch
            The tokens.
        name
            A name of the widths.
        vectors
            What it is.
        """
        self.kept[name][stretch.slot[:, None], :, stretch.place] = vectors.transpose(1, 2)
        return stretch.of(self.kept[name])

    def record(self, stretch: Stretch) -> None:
        """Keep for `taken` what was written of a stretch, when all of it was."""
        if self._rows is None:
            return
        self._reserve(max(stretch.starts) + stretch.count)
        found = [each[stretch.slot[:, None], :, stretch.place].flatten(2) for each in self.kept.values()]
        self._rows[stretch.slot[:, None], stretch.position] = torch.cat(found, -1)

    def advance(self, slot: int, end: int) -> None:
        """Let the memory write the block that a sequence has ended, if it has: all its tokens lie in the ring.

        Each sequence does it by itself, so that no sum depends on who else is there.

        Parameters
        ----------
        slot
            Its place.
        end
            Tokens that it has read.
        """
        if self._memory is None or self.ring.block is None or end % self.ring.block:
            return
        inputs = self.kept[INPUTS][slot]
        places = torch.arange(end - self.ring.block, end, device=inputs.device) % self.ring.places
        bank = self._memory.following(self.banks["bank"][slot], inputs[0, places])
        for name, each in self._memory.readable(bank).items():
            self.banks[name][slot] = each

    def taken(self, slot: int, start: int, end: int) -> Float[Tensor, "1 1 T E"]:
        """Return a copy of all that was kept of a sequence's tokens from `start` up to `end`.

        Parameters
        ----------
        slot
            Its place.
        start, end
            Which tokens.

        Raises
        ------
        ValueError
            If nothing is kept beyond the ring.
        """
        if self._rows is None:
            raise ValueError("what was read is not kept beyond the ring; make the past with shared=True")
        return self._rows[slot, start:end].clone()[None, None]

    def put(self, slot: int, start: int, kept: Float[Tensor, "1 1 T E"]) -> None:
        """Let a sequence have what was `taken` of another with the same tokens before, and write its blocks.

        Parameters
        ----------
        slot
            Its place.
        start
            Tokens before.
        kept
            Of T tokens.
        """
        if start == 0:
            self.begin(slot)
        rows, at = kept[0, 0], start
        if self._rows is not None:
            self._reserve(start + len(rows))
            self._rows[slot, start : start + len(rows)] = rows
        while len(rows):
            size = self.ring.block_end(at, len(rows))
            self._place(slot, at, rows[:size])
            rows, at = rows[size:], at + size
            self.advance(slot, at)

    def _place(self, slot: int, start: int, rows: Tensor) -> None:
        first = max(0, len(rows) - self.ring.places)  # what came before has left the ring
        places = torch.arange(start + first, start + len(rows), device=rows.device) % self.ring.places
        parts = rows[first:].split([heads * width for heads, width in self._widths.values()], -1)
        for (name, shape), part in zip(self._widths.items(), parts, strict=True):
            self.kept[name][slot][:, places] = part.unflatten(-1, shape).transpose(0, 1)

    def clear(self, slot: int) -> None:
        """Fill a place with zeros: what is not finite would reach the next sequence, whose weight of it is 0."""
        for each in self.kept.values():
            each[slot].zero_()
        self.begin(slot)

    def _reserve(self, tokens: int) -> None:
        assert self._rows is not None
        held = self._rows.shape[1]
        if tokens > held:
            more = rounded(max(tokens, 2 * held)) - held
            self._rows = torch.nn.functional.pad(self._rows, (0, 0, 0, more))
